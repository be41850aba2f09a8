<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>ApplySection</name>
    <message>
        <source>Model:</source>
        <translation>Modell:</translation>
    </message>
    <message>
        <source>...</source>
        <translation>...</translation>
    </message>
    <message>
        <source>Choose a model from elsewhere: its folder or its zip file.</source>
        <translation>Ein Modell von anderswo wählen: seinen Ordner oder seine Zip-Datei.</translation>
    </message>
    <message>
        <source>Volumes:</source>
        <translation>Volumina:</translation>
    </message>
    <message>
        <source>The volumes to segment: one, or several one after the other.</source>
        <translation>Die zu segmentierenden Volumina: eines oder mehrere nacheinander.</translation>
    </message>
    <message>
        <source>Output:</source>
        <translation>Ausgabe:</translation>
    </message>
    <message>
        <source>New segmentation</source>
        <translation>Neue Segmentierung</translation>
    </message>
    <message>
        <source>Clean up:</source>
        <translation>Aufräumen:</translation>
    </message>
    <message>
        <source>Fill holes</source>
        <translation>Löcher füllen</translation>
    </message>
    <message>
        <source>Holes inside segments are filled.</source>
        <translation>Löcher in Segmenten werden gefüllt.</translation>
    </message>
    <message>
        <source>Largest piece</source>
        <translation>Größtes Stück</translation>
    </message>
    <message>
        <source>Keeps the largest connected piece of each segment. Not for what comes in several pieces, such as lesions or both kidneys.</source>
        <translation>Behält das größte zusammenhängende Stück jedes Segments. Nicht für das, was aus mehreren Stücken besteht, etwa Läsionen oder beide Nieren.</translation>
    </message>
    <message>
        <source>Remove pieces:</source>
        <translation>Stücke entfernen:</translation>
    </message>
    <message>
        <source>Connected pieces of a segment that are smaller than this are removed.</source>
        <translation>Zusammenhängende Stücke eines Segments, die kleiner sind, werden entfernt.</translation>
    </message>
    <message>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <source>below </source>
        <translation>&lt; </translation>
    </message>
    <message>
        <source> mm3</source>
        <translation> mm3</translation>
    </message>
    <message>
        <source>Average mirror images</source>
        <translation>Spiegelbilder mitteln</translation>
    </message>
    <message>
        <source>Uncertainty</source>
        <translation>Unsicherheit</translation>
    </message>
    <message>
        <source>Keeps for each result where the model was unsure: a volume that can be shown below it.</source>
        <translation>Behält zu jedem Ergebnis, wo das Modell unsicher war: ein Volumen, das darunter gezeigt werden kann.</translation>
    </message>
    <message>
        <source>Appl&amp;y</source>
        <translation>An&amp;wenden</translation>
    </message>
    <message>
        <source>Stops, without a result.</source>
        <translation>Stoppt, ohne Ergebnis.</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Many volumes</source>
        <translation>Viele Volumina</translation>
    </message>
    <message>
        <source>Applies the model to all images of a folder, or to patients of the DICOM database, without loading them.</source>
        <translation>Wendet das Modell auf alle Bilder eines Ordners oder auf Patienten der DICOM-Datenbank an, ohne sie zu laden.</translation>
    </message>
    <message>
        <source>The results of the last run, those that need a look first. The chosen one is shown in the slice views, over its volume.</source>
        <translation>Die Ergebnisse des letzten Laufs; die man ansehen sollte, stehen vorn. Das gewählte wird in den Schichtansichten über seinem Volumen gezeigt.</translation>
    </message>
    <message>
        <source>How large each segment is, in millilitres, and how good it probably is. A click shows it in the slice views.</source>
        <translation>Wie groß jedes Segment ist, in Millilitern, und wie gut es vermutlich ist. Ein Klick zeigt es in den Schichtansichten.</translation>
    </message>
    <message>
        <source>3D</source>
        <translation>3D</translation>
    </message>
    <message>
        <source>Shows the segments as surfaces in the 3D view. Large ones take some seconds.</source>
        <translation>Zeigt die Segmente als Oberflächen in der 3D-Ansicht. Große brauchen einige Sekunden.</translation>
    </message>
    <message>
        <source>Opacity:</source>
        <translation>Deckkraft:</translation>
    </message>
    <message>
        <source>How much of the volume is seen through the segments, in slices and in 3D.</source>
        <translation>Wie viel vom Volumen durch die Segmente zu sehen ist, in Schichten und in 3D.</translation>
    </message>
    <message>
        <source>Edit</source>
        <translation>Bearbeiten</translation>
    </message>
    <message>
        <source>Opens the Segment Editor on this result.</source>
        <translation>Öffnet dieses Ergebnis im Segment-Editor.</translation>
    </message>
    <message>
        <source>Show uncertainty</source>
        <translation>Unsicherheit zeigen</translation>
    </message>
    <message>
        <source>Shows where the model is unsure, under the segments: from red, a little, to white, very. Nothing is drawn where it is sure.</source>
        <translation>Zeigt unter den Segmenten, wo das Modell unsicher ist: von Rot, ein wenig, bis Weiß, sehr. Wo es sicher ist, wird nichts gezeichnet.</translation>
    </message>
    <message>
        <source>Statistics</source>
        <translation>Statistik</translation>
    </message>
    <message>
        <source>Volumes in millilitres and mean intensities of the segments of all these results, in a table of the scene.</source>
        <translation>Volumina in Millilitern und mittlere Intensitäten der Segmente all dieser Ergebnisse, in einer Tabelle der Szene.</translation>
    </message>
    <message>
        <source>Save as DICOM</source>
        <translation>Als DICOM speichern</translation>
    </message>
    <message>
        <source>Saves the segments as a DICOM segmentation of the series into Slicer&apos;s DICOM database, from where they can be exported and sent.</source>
        <translation>Speichert die Segmente als DICOM-Segmentierung der Serie in Slicers DICOM-Datenbank, von wo sie exportiert und versendet werden können.</translation>
    </message>
    <message>
        <source>Whether you looked at every slice and it is right now: then all of it counts as drawn.</source>
        <translation>Ob Sie jede Schicht angesehen haben und alles jetzt stimmt: Dann gilt das Ganze als gezeichnet.</translation>
    </message>
    <message>
        <source>I looked at all of it</source>
        <translation>Ich habe alles angesehen</translation>
    </message>
    <message>
        <source>Makes a row of it in section 1. Slices that you have corrected count as drawn, or all of it where you say so on the left; the rest is unknown to the training.</source>
        <translation>Macht daraus eine Zeile in Abschnitt 1. Schichten, die Sie verbessert haben, gelten als gezeichnet, oder alles, wo Sie es links sagen; der Rest ist dem Training unbekannt.</translation>
    </message>
    <message>
        <source>Add to training data</source>
        <translation>Zu den Trainingsdaten</translation>
    </message>
    <message>
        <source>Adds the segments to the volumes they belong to, which must be in the scene.</source>
        <translation>Fügt die Segmente zu ihren Volumina hinzu, die in der Szene sein müssen.</translation>
    </message>
    <message>
        <source>&amp;Import</source>
        <translation>I&amp;mportieren</translation>
    </message>
    <message>
        <source>Deletes these results.</source>
        <translation>Löscht diese Ergebnisse.</translation>
    </message>
    <message>
        <source>Discard</source>
        <translation>Verwerfen</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>Rückgängig</translation>
    </message>
    <message>
        <source>Brings the results back, as they were.</source>
        <translation>Bringt die Ergebnisse zurück, wie sie waren.</translation>
    </message>
</context>
<context>
    <name>DataSection</name>
    <message>
        <source>&amp;Add all from scene</source>
        <translation>Alles aus der S&amp;zene</translation>
    </message>
    <message>
        <source>Adds each volume of the scene with the segmentation that was made on it.</source>
        <translation>Fügt jedes Volumen der Szene mit der darauf gezeichneten Segmentierung hinzu.</translation>
    </message>
    <message>
        <source>Fr&amp;om folder...</source>
        <translation>Aus O&amp;rdner...</translation>
    </message>
    <message>
        <source>Adds the labelled volumes of a folder, without loading them into the scene.</source>
        <translation>Fügt die segmentierten Volumina eines Ordners hinzu, ohne sie in die Szene zu laden.</translation>
    </message>
    <message>
        <source>What the network learns from: each volume with its segmentation.</source>
        <translation>Woraus das Netz lernt: jedes Volumen mit seiner Segmentierung.</translation>
    </message>
    <message>
        <source>Whether the network learns from it.</source>
        <translation>Ob das Netz daraus lernt.</translation>
    </message>
    <message>
        <source>Volumes</source>
        <translation>Volumina</translation>
    </message>
    <message>
        <source>Segmentation</source>
        <translation>Segmentierung</translation>
    </message>
    <message>
        <source>Drawn</source>
        <translation>Zeichnung</translation>
    </message>
    <message>
        <source>What was looked for in this case, and where. A click on it changes that.</source>
        <translation>Wonach in diesem Fall gesucht wurde, und wo. Ein Klick darauf ändert das.</translation>
    </message>
    <message>
        <source>Findings</source>
        <translation>Status</translation>
    </message>
    <message>
        <source>What was drawn</source>
        <translation>Was gezeichnet ist</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>The volume of a new row. Several are channels of one case: the first is the one that was segmented.</source>
        <translation>Das Volumen einer neuen Zeile. Mehrere sind Kanäle eines Falls: Das erste ist das segmentierte.</translation>
    </message>
    <message>
        <source>The segmentation of a new row.</source>
        <translation>Die Segmentierung einer neuen Zeile.</translation>
    </message>
    <message>
        <source>Add</source>
        <translation>Hinzufügen</translation>
    </message>
    <message>
        <source>What the network learns: a class for each name that segments have. A double click gives it another name.</source>
        <translation>Was das Netz lernt: eine Klasse für jeden Namen, den Segmente haben. Ein Doppelklick gibt ihr einen anderen.</translation>
    </message>
    <message>
        <source>Whether the network learns it.</source>
        <translation>Ob das Netz sie lernt.</translation>
    </message>
    <message>
        <source>Classes</source>
        <translation>Klassen</translation>
    </message>
    <message>
        <source>Cases</source>
        <translation>Fälle</translation>
    </message>
    <message>
        <source>ml</source>
        <translation>ml</translation>
    </message>
    <message>
        <source>&amp;Merge</source>
        <translation>Zusammen&amp;fassen</translation>
    </message>
    <message>
        <source>Re&amp;name</source>
        <translation>Umbe&amp;nennen</translation>
    </message>
    <message>
        <source>&amp;Leave out</source>
        <translation>Aus&amp;lassen</translation>
    </message>
    <message>
        <source>Reset</source>
        <translation>Zurücksetzen</translation>
    </message>
    <message>
        <source>Where segments overlap:</source>
        <translation>Wo Segmente überlappen:</translation>
    </message>
    <message>
        <source>What becomes of segments that overlap.</source>
        <translation>Was aus Segmenten wird, die überlappen.</translation>
    </message>
    <message>
        <source>Does what the line above suggests.</source>
        <translation>Tut, was die Zeile darüber vorschlägt.</translation>
    </message>
    <message>
        <source>&amp;Check data</source>
        <translation>Daten pr&amp;üfen</translation>
    </message>
    <message>
        <source>Next to label</source>
        <translation>Als Nächstes zeichnen</translation>
    </message>
    <message>
        <source>Where drawing would help most, as a model that you have trained sees it.</source>
        <translation>Wo Zeichnen am meisten hilft, wie ein trainiertes Modell es sieht.</translation>
    </message>
</context>
<context>
    <name>EnvironmentSection</name>
    <message>
        <source>Set up</source>
        <translation>Einrichten</translation>
    </message>
    <message>
        <source>Test</source>
        <translation>Testen</translation>
    </message>
    <message>
        <source>Repair</source>
        <translation>Reparieren</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>Stopp</translation>
    </message>
    <message>
        <source>Ends this. What was downloaded already is kept for the next time.</source>
        <translation>Beendet dies. Was schon geladen ist, bleibt für das nächste Mal.</translation>
    </message>
    <message>
        <source>Train on:</source>
        <translation>Trainieren auf:</translation>
    </message>
    <message>
        <source>Another Python:</source>
        <translation>Anderes Python:</translation>
    </message>
    <message>
        <source>Folder of wheels:</source>
        <translation>Wheel-Ordner:</translation>
    </message>
    <message>
        <source>Prepared cases:</source>
        <translation>Vorbereitete Fälle:</translation>
    </message>
    <message>
        <source>Clear</source>
        <translation>Leeren</translation>
    </message>
    <message>
        <source>What was done while the environment was set up or tested, line by line.</source>
        <translation>Was beim Einrichten oder Testen der Umgebung getan wurde, Zeile für Zeile.</translation>
    </message>
    <message>
        <source>Log</source>
        <translation>Protokoll</translation>
    </message>
</context>
<context>
    <name>EvaluateSection</name>
    <message>
        <source>Prediction:</source>
        <translation>Vorhersage von:</translation>
    </message>
    <message>
        <source>The segmentation to be judged.</source>
        <translation>Die zu beurteilende Segmentierung.</translation>
    </message>
    <message>
        <source>Choose a segmentation</source>
        <translation>Segmentierung wählen</translation>
    </message>
    <message>
        <source>Reference:</source>
        <translation>Referenz:</translation>
    </message>
    <message>
        <source>The segmentation that is right, such as one made by hand.</source>
        <translation>Die richtige Segmentierung, etwa eine von Hand gezeichnete.</translation>
    </message>
    <message>
        <source>Volume:</source>
        <translation>Volumen:</translation>
    </message>
    <message>
        <source>Both are compared on the voxels of this volume, and it is shown in the pictures of the report.</source>
        <translation>Beide werden auf den Voxeln dieses Volumens verglichen; es ist auch in den Bildern des Berichts zu sehen.</translation>
    </message>
    <message>
        <source>Choose a volume</source>
        <translation>Volumen wählen</translation>
    </message>
    <message>
        <source>Evaluate</source>
        <translation>Auswerten</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Open &amp;report</source>
        <translation>Bericht &amp;öffnen</translation>
    </message>
    <message>
        <source>Dice and distances of each segment; the report explains them.</source>
        <translation>Dice und Abstände jedes Segments; der Bericht erklärt sie.</translation>
    </message>
    <message>
        <source>Segment</source>
        <translation>Segment</translation>
    </message>
    <message>
        <source>Dice</source>
        <translation>Dice</translation>
    </message>
    <message>
        <source>Overlap of both: 1 is perfect, 0 is none.</source>
        <translation>Überlappung beider: 1 ist vollkommen, 0 ist keine.</translation>
    </message>
    <message>
        <source>HD95 mm</source>
        <translation>HD95 mm</translation>
    </message>
    <message>
        <source>95 % of each surface lies no farther than this from the other surface; 0 is perfect.</source>
        <translation>95 % jeder Oberfläche liegen nicht weiter als dies von der anderen; 0 ist vollkommen.</translation>
    </message>
    <message>
        <source>Ref. ml</source>
        <translation>Ref. ml</translation>
    </message>
    <message>
        <source>Volume of the segment in the reference.</source>
        <translation>Volumen des Segments in der Referenz.</translation>
    </message>
    <message>
        <source>Pred. ml</source>
        <translation>Vorh. ml</translation>
    </message>
    <message>
        <source>Volume of the segment in the prediction.</source>
        <translation>Volumen des Segments in der Vorhersage.</translation>
    </message>
</context>
<context>
    <name>JobSection</name>
    <message>
        <source>Resume</source>
        <translation>Fortsetzen</translation>
    </message>
    <message>
        <source>Stop and &amp;keep best</source>
        <translation>Stopp und si&amp;chern</translation>
    </message>
    <message>
        <source>Ends the training now and finishes properly: the best model so far is measured on the held-out cases, with a report.</source>
        <translation>Beendet das Training jetzt und ordentlich: Das bisher beste Modell wird an den Validierungsfällen gemessen, mit Bericht.</translation>
    </message>
    <message>
        <source>Stop now</source>
        <translation>Sofort stoppen</translation>
    </message>
    <message>
        <source>Ends the training at once. The best model so far stays; there is no report. It can be resumed.</source>
        <translation>Beendet das Training sofort. Das bisher beste Modell bleibt; es gibt keinen Bericht. Es kann fortgesetzt werden.</translation>
    </message>
    <message>
        <source>Prediction of:</source>
        <translation>Vorhersage von:</translation>
    </message>
    <message>
        <source>Worst</source>
        <translation>Schwächster</translation>
    </message>
    <message>
        <source>Draws what the newest model predicts for a held-out case, in the views that show its volume.</source>
        <translation>Zeichnet, was das neueste Modell für einen Validierungsfall vorhersagt, in die Ansichten, die dessen Volumen zeigen.</translation>
    </message>
    <message>
        <source>Show the newest &amp;prediction in the views</source>
        <translation>Neueste &amp;Vorhersage in den Ansichten zeigen</translation>
    </message>
    <message>
        <source>Dice on the held-out cases, by class</source>
        <translation>Dice der Validierungsfälle, nach Klasse</translation>
    </message>
    <message>
        <source>Loss</source>
        <translation>Verlust</translation>
    </message>
    <message>
        <source>Show in the view layout</source>
        <translation>In den Ansichten zeigen</translation>
    </message>
    <message>
        <source>Shows the Dice chart large, beside the slice views; pressed again, the views are as before.</source>
        <translation>Zeigt die Dice-Kurven groß neben den Schichtansichten; ein zweiter Druck stellt die Ansichten wieder her.</translation>
    </message>
    <message>
        <source>Undo</source>
        <translation>Rückgängig</translation>
    </message>
    <message>
        <source>Brings the training back, as it was.</source>
        <translation>Bringt das Training zurück, wie es war.</translation>
    </message>
    <message>
        <source>Every training on this computer, newest first.</source>
        <translation>Alle Trainings auf diesem Rechner, das neueste zuerst.</translation>
    </message>
    <message>
        <source>Trainings</source>
        <translation>Trainings</translation>
    </message>
    <message>
        <source>Every training on this computer, newest first. A double click shows its curves.</source>
        <translation>Alle Trainings auf diesem Rechner, das neueste zuerst. Ein Doppelklick zeigt die Kurven.</translation>
    </message>
    <message>
        <source>The versions of the chosen training, each of which has gone on from one before it. The buttons are for the chosen one.</source>
        <translation>Die Versionen des gewählten Trainings, von denen jede eine frühere fortsetzt. Die Knöpfe gelten für die gewählte.</translation>
    </message>
    <message>
        <source>Go back to this version</source>
        <translation>Zurück zu dieser Version</translation>
    </message>
    <message>
        <source>Watch</source>
        <translation>Ansehen</translation>
    </message>
    <message>
        <source>Report</source>
        <translation>Bericht</translation>
    </message>
    <message>
        <source>Use model</source>
        <translation>Modell nutzen</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Bring back</source>
        <translation>Zurückholen</translation>
    </message>
    <message>
        <source>What the training tells, line by line.</source>
        <translation>Was das Training meldet, Zeile für Zeile.</translation>
    </message>
    <message>
        <source>Log</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Save for support...</source>
        <translation>Für Hilfe speichern...</translation>
    </message>
    <message>
        <source>Numbers take the place of file paths and of the names of cases.</source>
        <translation>Nummern stehen an der Stelle von Dateipfaden und Namen der Fälle.</translation>
    </message>
    <message>
        <source>without names</source>
        <translation>ohne Namen</translation>
    </message>
</context>
<context>
    <name>ManyVolumes</name>
    <message>
        <source>Images:</source>
        <translation>Bilder:</translation>
    </message>
    <message>
        <source>Where the images lie: they need not be loaded into the scene.</source>
        <translation>Wo die Bilder liegen: Sie müssen nicht in die Szene geladen sein.</translation>
    </message>
    <message>
        <source>Folder:</source>
        <translation>Ordner:</translation>
    </message>
    <message>
        <source>All images in it are segmented: NIfTI, NRRD, MetaImage files, and folders with DICOM slices.</source>
        <translation>Alle Bilder darin werden segmentiert: NIfTI-, NRRD-, MetaImage-Dateien und Ordner mit DICOM-Schichten.</translation>
    </message>
    <message>
        <source>Results:</source>
        <translation>Ergebnisse:</translation>
    </message>
    <message>
        <source>The folder for the results. Left empty: the folder &apos;segmentations&apos; beside the images.</source>
        <translation>Der Ordner für die Ergebnisse. Leer gelassen: der Ordner &apos;segmentations&apos; bei den Bildern.</translation>
    </message>
    <message>
        <source>Files:</source>
        <translation>Dateien:</translation>
    </message>
    <message>
        <source>Segmentations hold names and colours; label maps are read by every other program.</source>
        <translation>Segmentierungen enthalten Namen und Farben; Label-Karten liest jedes andere Programm.</translation>
    </message>
    <message>
        <source>Overwrite earlier results</source>
        <translation>Frühere Ergebnisse überschreiben</translation>
    </message>
    <message>
        <source>Makes results again that this module made before with another model or other settings. Files that were made or changed by hand always stay.</source>
        <translation>Macht Ergebnisse neu, die dieses Modul mit einem anderen Modell oder anderen Einstellungen gemacht hat. Von Hand gemachte oder geänderte Dateien bleiben immer.</translation>
    </message>
    <message>
        <source>Search: patient, series, CT</source>
        <translation>Suche: Patient, Serie, CT</translation>
    </message>
    <message>
        <source>Shows only series that have these words in patient, study, description or modality.</source>
        <translation>Zeigt nur Serien, die diese Wörter in Patient, Studie, Beschreibung oder Modalität haben.</translation>
    </message>
    <message>
        <source>Choose all</source>
        <translation>Alle wählen</translation>
    </message>
    <message>
        <source>Chooses all series that the search finds; pressed again, none of them.</source>
        <translation>Wählt alle Serien, die die Suche findet; noch einmal gedrückt, keine davon.</translation>
    </message>
    <message>
        <source>The series of images in the DICOM database. Those with a check mark are segmented.</source>
        <translation>Die Bildserien der DICOM-Datenbank. Die mit Häkchen werden segmentiert.</translation>
    </message>
    <message>
        <source>Apply to all</source>
        <translation>Auf alle anwenden</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>Stopp</translation>
    </message>
    <message>
        <source>What is finished stays. Apply to all goes on where it was.</source>
        <translation>Was fertig ist, bleibt. &apos;Auf alle anwenden&apos; macht dort weiter.</translation>
    </message>
    <message>
        <source>The results of the last run, those that need a look first. A click loads image and result.</source>
        <translation>Die Ergebnisse des letzten Laufs; die man ansehen sollte, stehen vorn. Ein Klick lädt Bild und Ergebnis.</translation>
    </message>
    <message>
        <source>Statistics of all</source>
        <translation>Statistik aller</translation>
    </message>
    <message>
        <source>Show folder</source>
        <translation>Ordner zeigen</translation>
    </message>
    <message>
        <source>Opens the folder with the results.</source>
        <translation>Öffnet den Ordner mit den Ergebnissen.</translation>
    </message>
</context>
<context>
    <name>MedSegTrainer</name>
    <message>
        <source>MedSegTrainer</source>
        <translation>MedSegTrainer</translation>
    </message>
    <message>
        <source>Trains a segmentation network on volumes and their segmentations in the scene, and segments further volumes with it. &lt;ol&gt;&lt;li&gt;Training data: add the volumes with their segmentations.&lt;/li&gt;&lt;li&gt;Train: choose how long, and start. The training runs beside Slicer, which can even be closed.&lt;/li&gt;&lt;li&gt;Apply: choose a model and a volume.&lt;/li&gt;&lt;/ol&gt;PyTorch lives in an environment of its own, which the section Environment sets up; the Python of Slicer is not changed. Results of a model are no diagnosis: look at every segmentation that it makes.</source>
        <translation>Trainiert ein Segmentierungsnetz an Volumina der Szene und ihren Segmentierungen und segmentiert damit weitere Volumina. &lt;ol&gt;&lt;li&gt;Trainingsdaten: die Volumina mit ihren Segmentierungen hinzufügen.&lt;/li&gt;&lt;li&gt;Trainieren: die Dauer wählen und starten. Das Training läuft neben Slicer, das sogar geschlossen werden kann.&lt;/li&gt;&lt;li&gt;Anwenden: ein Modell und ein Volumen wählen.&lt;/li&gt;&lt;/ol&gt;PyTorch liegt in einer eigenen Umgebung, die der Abschnitt Umgebung einrichtet; das Python von Slicer wird nicht verändert. Ergebnisse eines Modells sind keine Diagnose: Jede Segmentierung ist anzusehen.</translation>
    </message>
    <message>
        <source>&lt;p&gt;The &lt;a href=&quot;{address}&quot;&gt;manual&lt;/a&gt; has a tutorial and all settings.&lt;/p&gt;</source>
        <translation>&lt;p&gt;Das &lt;a href=&quot;{address}&quot;&gt;Handbuch&lt;/a&gt; (englisch) enthält eine Anleitung und alle Einstellungen.&lt;/p&gt;</translation>
    </message>
    <message>
        <source>Built on 3D Slicer, PyTorch, MONAI and SimpleITK. Labelled volumes for trying it come from the Medical Segmentation Decathlon (Antonelli et al., Nature Communications 2022, CC BY-SA 4.0).</source>
        <translation>Beruht auf 3D Slicer, PyTorch, MONAI und SimpleITK. Segmentierte Volumina zum Ausprobieren stammen aus dem Medical Segmentation Decathlon (Antonelli et al., Nature Communications 2022, CC BY-SA 4.0).</translation>
    </message>
    <message>
        <source>This module learns to segment from volumes that you have segmented. Begin with Set up in section 5, once: it loads PyTorch. Then follow the sections: add what you segmented, train, and apply the model to further volumes.</source>
        <translation>Dieses Modul lernt das Segmentieren aus bereits segmentierten Volumina. Einmal mit „Einrichten“ in Abschnitt 5 beginnen: Das lädt PyTorch. Dann den Abschnitten folgen: Segmentiertes hinzufügen, trainieren und das Modell auf weitere Volumina anwenden.</translation>
    </message>
    <message>
        <source>Try &amp;it with sample data</source>
        <translation>Mit Beispieldaten aus&amp;probieren</translation>
    </message>
    <message>
        <source>Loads four made-up abdomens, needs no network, and adds the three that have segments to the training data.</source>
        <translation>Lädt vier künstliche Abdomina, ohne Netzwerk, und fügt die drei mit Segmenten zu den Trainingsdaten hinzu.</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Does not show this again.</source>
        <translation>Zeigt dies nicht wieder.</translation>
    </message>
    <message>
        <source>&amp;1  Training data</source>
        <translation>&amp;1  Trainingsdaten</translation>
    </message>
    <message>
        <source>What the network learns from: volumes with their segmentations.</source>
        <translation>Woraus das Netz lernt: Volumina mit ihren Segmentierungen.</translation>
    </message>
    <message>
        <source>&amp;2  Train</source>
        <translation>&amp;2  Trainieren</translation>
    </message>
    <message>
        <source>How long to train, with which settings, and how the training goes.</source>
        <translation>Wie lange und mit welchen Einstellungen trainiert wird, und wie das Training verläuft.</translation>
    </message>
    <message>
        <source>&amp;3  Apply</source>
        <translation>&amp;3  Anwenden</translation>
    </message>
    <message>
        <source>Segments volumes with a trained model.</source>
        <translation>Segmentiert Volumina mit einem trainierten Modell.</translation>
    </message>
    <message>
        <source>&amp;4  Evaluate</source>
        <translation>&amp;4  Auswerten</translation>
    </message>
    <message>
        <source>Compares two segmentations of one volume in numbers.</source>
        <translation>Vergleicht zwei Segmentierungen eines Volumens in Zahlen.</translation>
    </message>
    <message>
        <source>&amp;5  Environment</source>
        <translation>&amp;5  Umgebung</translation>
    </message>
    <message>
        <source>Where PyTorch lives, and whether it works.</source>
        <translation>Wo PyTorch liegt, und ob es funktioniert.</translation>
    </message>
    <message>
        <source>One section at a time</source>
        <translation>Nur ein Abschnitt offen</translation>
    </message>
    <message>
        <source>Opening a section folds the others, and the next one opens when the one before is ready.</source>
        <translation>Das Öffnen eines Abschnitts schließt die anderen, und der nächste öffnet sich, wenn der vorige fertig ist.</translation>
    </message>
    <message>
        <source>When a training ends:</source>
        <translation>Am Ende eines Trainings:</translation>
    </message>
    <message>
        <source>notification</source>
        <translation>Nachricht</translation>
    </message>
    <message>
        <source>sound</source>
        <translation>Ton</translation>
    </message>
    <message>
        <source>Plays the sound of the system for alerts.</source>
        <translation>Spielt den Warnton des Systems.</translation>
    </message>
</context>
<context>
    <name>MedSegTrainerLib.config</name>
    <message>
        <source>Data dir</source>
        <translation>Datenordner</translation>
    </message>
    <message>
        <source>Folder with the labelled volumes (layouts: the page Data of the manual).</source>
        <translation>Ordner mit den segmentierten Volumina (Anordnungen: Seite „Data“ des Handbuchs).</translation>
    </message>
    <message>
        <source>Image names</source>
        <translation>Bildnamen</translation>
    </message>
    <message>
        <source>Names of the image files in a folder for each case, one a channel, without the suffix: [&apos;t1&apos;, &apos;t2&apos;].</source>
        <translation>Namen der Bilddateien im Ordner jedes Falls, eine je Kanal, ohne Endung: [&apos;t1&apos;, &apos;t2&apos;].</translation>
    </message>
    <message>
        <source>Label name</source>
        <translation>Labelname</translation>
    </message>
    <message>
        <source>Name of the label map in a folder for each case, without the suffix; or of the folder with its masks.</source>
        <translation>Name der Labelmap im Ordner jedes Falls, ohne Endung; oder des Ordners mit seinen Masken.</translation>
    </message>
    <message>
        <source>Mask names</source>
        <translation>Namen der Masken</translation>
    </message>
    <message>
        <source>Classes to take where each case has a folder with a mask for each; empty: all of them.</source>
        <translation>Klassen, die zu nehmen sind, wo jeder Fall einen Ordner mit einer Maske für jede hat; leer: alle.</translation>
    </message>
    <message>
        <source>Train split</source>
        <translation>Trainingsanteil</translation>
    </message>
    <message>
        <source>Share of the cases to train on; &apos;auto&apos; is what the others leave (0.7).</source>
        <translation>Anteil der Fälle, an denen trainiert wird; „auto“ ist, was die anderen übrig lassen (0.7).</translation>
    </message>
    <message>
        <source>Val split</source>
        <translation>Validierungsanteil</translation>
    </message>
    <message>
        <source>Share of the cases to validate on while training.</source>
        <translation>Anteil der Fälle, an denen beim Training validiert wird.</translation>
    </message>
    <message>
        <source>Test split</source>
        <translation>Testanteil</translation>
    </message>
    <message>
        <source>Share of the cases kept aside until the end; with fewer than 20 cases they train.</source>
        <translation>Anteil der Fälle, die bis zum Ende zurückgelegt werden; bei weniger als 20 Fällen trainieren sie mit.</translation>
    </message>
    <message>
        <source>Fold</source>
        <translation>Fold</translation>
    </message>
    <message>
        <source>Validate on this fold (from 0) instead of a random share.</source>
        <translation>Auf diesem Fold (ab 0) statt auf einem zufälligen Anteil validieren.</translation>
    </message>
    <message>
        <source>Folds</source>
        <translation>Folds</translation>
    </message>
    <message>
        <source>Number of folds that &apos;fold&apos; counts in.</source>
        <translation>Anzahl der Folds, nach der „fold“ zählt.</translation>
    </message>
    <message>
        <source>Split by</source>
        <translation>Aufteilung nach</translation>
    </message>
    <message>
        <source>How cases are divided: at random; so that each class is everywhere; all cases of a patient on one side. &apos;auto&apos;: by patient where patients are known, else at random.</source>
        <translation>Wie die Fälle aufgeteilt werden: zufällig; so, dass jede Klasse überall vorkommt; alle Fälle eines Patienten auf einer Seite. „auto“: nach Patienten, wo sie bekannt sind, sonst zufällig.</translation>
    </message>
    <message>
        <source>Patient pattern</source>
        <translation>Patientenmuster</translation>
    </message>
    <message>
        <source>Regular expression that finds the patient in the name of a case: its first group, or all of it.</source>
        <translation>Regulärer Ausdruck, der den Patienten im Namen eines Falls findet: seine erste Gruppe oder alles.</translation>
    </message>
    <message>
        <source>Patient table</source>
        <translation>Patiententabelle</translation>
    </message>
    <message>
        <source>Table of the patient of each case: CSV with the columns case and patient, or JSON {case: patient}.</source>
        <translation>Tabelle mit dem Patienten jedes Falls: CSV mit den Spalten case und patient oder JSON {case: patient}.</translation>
    </message>
    <message>
        <source>Split file</source>
        <translation>Aufteilungsdatei</translation>
    </message>
    <message>
        <source>JSON file with explicit case lists: a list of folds, each {&apos;train&apos;: [...], &apos;val&apos;: [...]}.</source>
        <translation>JSON-Datei mit ausdrücklichen Falllisten: eine Liste von Folds, jeder {&apos;train&apos;: [...], &apos;val&apos;: [...]}.</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Zufallszahl</translation>
    </message>
    <message>
        <source>Every random draw follows from this number.</source>
        <translation>Alles Zufällige folgt aus dieser Zahl.</translation>
    </message>
    <message>
        <source>Spacing</source>
        <translation>Voxelgröße</translation>
    </message>
    <message>
        <source>Voxel size in mm (z, y, x) that the network sees.</source>
        <translation>Voxelgröße in mm (z, y, x), die das Netz sieht.</translation>
    </message>
    <message>
        <source>Image size</source>
        <translation>Bildgröße</translation>
    </message>
    <message>
        <source>Longer side that a 2D image is resized to and seen whole; of volumes, the patch. One number, or one an axis.</source>
        <translation>Längere Seite, auf die ein 2D-Bild gebracht und als Ganzes gesehen wird; bei Volumina der Ausschnitt. Eine Zahl oder eine je Achse.</translation>
    </message>
    <message>
        <source>Patch size</source>
        <translation>Ausschnittgröße</translation>
    </message>
    <message>
        <source>Voxels (z, y, x) that the network sees at once; z is 1 in 2D.</source>
        <translation>Voxel (z, y, x), die das Netz auf einmal sieht; z ist in 2D 1.</translation>
    </message>
    <message>
        <source>Batch size</source>
        <translation>Batchgröße</translation>
    </message>
    <message>
        <source>Patches per step.</source>
        <translation>Ausschnitte je Schritt.</translation>
    </message>
    <message>
        <source>Samples per volume</source>
        <translation>Je Volumen</translation>
    </message>
    <message>
        <source>Patches drawn from each volume in an epoch.</source>
        <translation>Ausschnitte, die in einer Epoche aus jedem Volumen gezogen werden.</translation>
    </message>
    <message>
        <source>Overlap</source>
        <translation>Überlappung</translation>
    </message>
    <message>
        <source>Share of a window that its neighbour covers again in validation.</source>
        <translation>Anteil eines Fensters, den sein Nachbar bei der Validierung noch einmal bedeckt.</translation>
    </message>
    <message>
        <source>Shuffle</source>
        <translation>Mischen</translation>
    </message>
    <message>
        <source>Whether each epoch visits the cases in another order.</source>
        <translation>Ob jede Epoche die Fälle in anderer Reihenfolge besucht.</translation>
    </message>
    <message>
        <source>Case sampling</source>
        <translation>Fallauswahl</translation>
    </message>
    <message>
        <source>All cases alike, or those with rare classes more often.</source>
        <translation>Alle Fälle gleich oder die mit seltenen Klassen häufiger.</translation>
    </message>
    <message>
        <source>Foreground oversampling</source>
        <translation>Vordergrundanteil</translation>
    </message>
    <message>
        <source>Share of patches centred on a voxel of a class drawn at random; auto: 0.33, and 0.8 where a model that the training begins with has to learn further classes.</source>
        <translation>Anteil der Ausschnitte um ein Voxel einer zufällig gewählten Klasse; auto: 0.33, und 0.8, wo ein Modell, mit dem das Training beginnt, weitere Klassen lernen muss.</translation>
    </message>
    <message>
        <source>Normalize</source>
        <translation>Normalisieren</translation>
    </message>
    <message>
        <source>Whether intensities are normalised.</source>
        <translation>Ob Intensitäten normalisiert werden.</translation>
    </message>
    <message>
        <source>Normalization type</source>
        <translation>Normalisierung</translation>
    </message>
    <message>
        <source>How: mean 0 and deviation 1, range 0-1, 0.5-99.5 percentile to 0-1, or CT clipping.</source>
        <translation>Wie: Mittel 0 und Abweichung 1, Bereich 0-1, Perzentile 0.5-99.5 auf 0-1 oder CT-Fenster.</translation>
    </message>
    <message>
        <source>Augmentation</source>
        <translation>Augmentierung</translation>
    </message>
    <message>
        <source>Whether training patches are varied at random.</source>
        <translation>Ob Trainingsausschnitte zufällig verändert werden.</translation>
    </message>
    <message>
        <source>Augmentation strength</source>
        <translation>Augmentierungsstärke</translation>
    </message>
    <message>
        <source>How far they are varied.</source>
        <translation>Wie weit sie verändert werden.</translation>
    </message>
    <message>
        <source>Mixup</source>
        <translation>Mixup</translation>
    </message>
    <message>
        <source>Share of batches that are mixed with others, intensities and loss (MixUp).</source>
        <translation>Anteil der Batches, die mit anderen gemischt werden, Intensitäten und Verlust (MixUp).</translation>
    </message>
    <message>
        <source>Cutmix</source>
        <translation>Cutmix</translation>
    </message>
    <message>
        <source>Share of batches in which a box comes from another patch (CutMix).</source>
        <translation>Anteil der Batches, in denen ein Kasten aus einem anderen Ausschnitt stammt (CutMix).</translation>
    </message>
    <message>
        <source>Ignore label</source>
        <translation>Ignoriertes Label</translation>
    </message>
    <message>
        <source>Label value of voxels that nobody labelled: they do not count.</source>
        <translation>Labelwert der Voxel, die niemand gelabelt hat: Sie zählen nicht.</translation>
    </message>
    <message>
        <source>Overlapping</source>
        <translation>Überlappend</translation>
    </message>
    <message>
        <source>Whether a voxel may have several classes, so that each is learned against all else; &apos;auto&apos;: where they overlap in the data.</source>
        <translation>Ob ein Voxel mehrere Klassen haben darf, sodass jede gegen alles andere gelernt wird; „auto“: wo sie sich in den Daten überlappen.</translation>
    </message>
    <message>
        <source>Labelled slices</source>
        <translation>Gelabelte Schichten</translation>
    </message>
    <message>
        <source>Axis of the patient whose slices are labelled where they have something in them, and unknown where not; &apos;auto&apos; finds it in each case.</source>
        <translation>Achse des Patienten, deren Schichten gelabelt sind, wo etwas in ihnen ist, und unbekannt, wo nicht; „auto“ findet sie in jedem Fall.</translation>
    </message>
    <message>
        <source>Flip axes</source>
        <translation>Spiegelachsen</translation>
    </message>
    <message>
        <source>Axes along which patches may be mirrored.</source>
        <translation>Achsen, entlang derer Ausschnitte gespiegelt werden dürfen.</translation>
    </message>
    <message>
        <source>Slice axis</source>
        <translation>Schichtachse</translation>
    </message>
    <message>
        <source>Axis of the patient along which slices of a 2D network lie; &apos;auto&apos;: that of the thickest slices.</source>
        <translation>Achse des Patienten, entlang derer die Schichten eines 2D-Netzes liegen; „auto“: die der dicksten Schichten.</translation>
    </message>
    <message>
        <source>Cache</source>
        <translation>Zwischenspeicher</translation>
    </message>
    <message>
        <source>Where preprocessed volumes are kept.</source>
        <translation>Wo vorverarbeitete Volumina aufbewahrt werden.</translation>
    </message>
    <message>
        <source>Cache dir</source>
        <translation>Cache-Ordner</translation>
    </message>
    <message>
        <source>Folder shared by jobs, where prepared cases are found again by the content of their files. Empty: none.</source>
        <translation>Ordner, den Aufträge teilen und in dem vorbereitete Fälle am Inhalt ihrer Dateien wiedergefunden werden. Leer: keiner.</translation>
    </message>
    <message>
        <source>Cache gb</source>
        <translation>Cache-Größe (GB)</translation>
    </message>
    <message>
        <source>Size of that folder in GB; what was not used for longest goes first.</source>
        <translation>Größe dieses Ordners in GB; was am längsten nicht gebraucht wurde, weicht zuerst.</translation>
    </message>
    <message>
        <source>Num workers</source>
        <translation>Leseprozesse</translation>
    </message>
    <message>
        <source>Volumes that are read and prepared at the same time.</source>
        <translation>Volumina, die gleichzeitig gelesen und vorbereitet werden.</translation>
    </message>
    <message>
        <source>Pin memory</source>
        <translation>Fester Speicher</translation>
    </message>
    <message>
        <source>Page-locked memory for volumes on their way to a GPU.</source>
        <translation>Nicht auslagerbarer Speicher für Volumina auf dem Weg zu einer GPU.</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Trained model to begin with: a job, a model folder or its zip. Empty: from nothing.</source>
        <translation>Trainiertes Modell, mit dem begonnen wird: ein Auftrag, ein Modellordner oder dessen Zip-Datei. Leer: von Anfang an.</translation>
    </message>
    <message>
        <source>Rename</source>
        <translation>Umbenennen</translation>
    </message>
    <message>
        <source>Classes of that model under their new names: [&apos;old=new&apos;, ...]. Two that become one are joined, one that becomes two is divided.</source>
        <translation>Klassen dieses Modells unter ihren neuen Namen: [&apos;alt=neu&apos;, ...]. Zwei, die eine werden, werden vereint; eine, aus der zwei werden, wird geteilt.</translation>
    </message>
    <message>
        <source>Adapt</source>
        <translation>Anpassen</translation>
    </message>
    <message>
        <source>Whether to go on with what can be kept where the model does not fit the data.</source>
        <translation>Ob mit dem, was bleiben kann, weitergemacht wird, wo das Modell nicht zu den Daten passt.</translation>
    </message>
    <message>
        <source>Rate factor</source>
        <translation>Faktor der Rate</translation>
    </message>
    <message>
        <source>What the learning rate is multiplied by, unless it is set.</source>
        <translation>Womit die Lernrate multipliziert wird, wenn sie nicht gesetzt ist.</translation>
    </message>
    <message>
        <source>Frozen share</source>
        <translation>Eingefrorener Anteil</translation>
    </message>
    <message>
        <source>Share of the training in which nothing but the last layer learns, and the first one of new channels.</source>
        <translation>Anteil des Trainings, in dem nur die letzte Schicht lernt und bei neuen Kanälen die erste.</translation>
    </message>
    <message>
        <source>Type</source>
        <translation>Art</translation>
    </message>
    <message>
        <source>Architecture.</source>
        <translation>Architektur.</translation>
    </message>
    <message>
        <source>Dims</source>
        <translation>Dimensionen</translation>
    </message>
    <message>
        <source>2: slice by slice; 3: whole patches.</source>
        <translation>2: Schicht für Schicht; 3: ganze Ausschnitte.</translation>
    </message>
    <message>
        <source>Dimension</source>
        <translation>Dimension</translation>
    </message>
    <message>
        <source>The same as dims.</source>
        <translation>Dasselbe wie dims.</translation>
    </message>
    <message>
        <source>Neighbour slices</source>
        <translation>Nachbarschichten</translation>
    </message>
    <message>
        <source>Slices on each side that a 2D network sees as further channels.</source>
        <translation>Schichten auf jeder Seite, die ein 2D-Netz als weitere Kanäle sieht.</translation>
    </message>
    <message>
        <source>Base channels</source>
        <translation>Basiskanäle</translation>
    </message>
    <message>
        <source>Feature maps at full resolution; doubled at each level.</source>
        <translation>Merkmalskarten bei voller Auflösung; auf jeder Stufe verdoppelt.</translation>
    </message>
    <message>
        <source>Init filters</source>
        <translation>Anfangsfilter</translation>
    </message>
    <message>
        <source>The same of a SegResNet.</source>
        <translation>Dasselbe bei einem SegResNet.</translation>
    </message>
    <message>
        <source>In channels</source>
        <translation>Eingangskanäle</translation>
    </message>
    <message>
        <source>Channels of the images; the data decides.</source>
        <translation>Kanäle der Bilder; die Daten bestimmen sie.</translation>
    </message>
    <message>
        <source>Out channels</source>
        <translation>Ausgangskanäle</translation>
    </message>
    <message>
        <source>Classes with the background; the data decides.</source>
        <translation>Klassen mit dem Hintergrund; die Daten bestimmen sie.</translation>
    </message>
    <message>
        <source>Num classes</source>
        <translation>Klassenzahl</translation>
    </message>
    <message>
        <source>The same as out_channels.</source>
        <translation>Dasselbe wie out_channels.</translation>
    </message>
    <message>
        <source>Aspp rates</source>
        <translation>ASPP-Abstände</translation>
    </message>
    <message>
        <source>Distances at which DeepLabV3Plus looks around, in maps.</source>
        <translation>Abstände, in denen DeepLabV3Plus sich umsieht, in Kartenpunkten.</translation>
    </message>
    <message>
        <source>Img size</source>
        <translation>Bildgröße (Tr.)</translation>
    </message>
    <message>
        <source>Patch of a transformer; the same as data.image_size.</source>
        <translation>Ausschnitt eines Transformers; dasselbe wie data.image_size.</translation>
    </message>
    <message>
        <source>Embed dim</source>
        <translation>Einbettung</translation>
    </message>
    <message>
        <source>Width of a transformer&apos;s tokens.</source>
        <translation>Breite der Tokens eines Transformers.</translation>
    </message>
    <message>
        <source>Num heads</source>
        <translation>Köpfe</translation>
    </message>
    <message>
        <source>Heads of a transformer&apos;s attention.</source>
        <translation>Köpfe der Attention eines Transformers.</translation>
    </message>
    <message>
        <source>Num layers</source>
        <translation>Schichtenzahl</translation>
    </message>
    <message>
        <source>Layers of a transformer.</source>
        <translation>Schichten eines Transformers.</translation>
    </message>
    <message>
        <source>Window size</source>
        <translation>Fenstergröße</translation>
    </message>
    <message>
        <source>Edge of the windows that a Swin transformer attends in.</source>
        <translation>Kante der Fenster, in denen ein Swin-Transformer aufmerkt.</translation>
    </message>
    <message>
        <source>Norm</source>
        <translation>Norm</translation>
    </message>
    <message>
        <source>Normalisation; group and instance suit small batches.</source>
        <translation>Normalisierung; group und instance passen zu kleinen Batches.</translation>
    </message>
    <message>
        <source>Dropout</source>
        <translation>Dropout</translation>
    </message>
    <message>
        <source>Share of values in the network that are switched off at random in training.</source>
        <translation>Anteil der Werte im Netz, die beim Training zufällig abgeschaltet werden.</translation>
    </message>
    <message>
        <source>Deep supervision</source>
        <translation>Tiefe Aufsicht</translation>
    </message>
    <message>
        <source>Whether the loss is also taken at lower resolutions.</source>
        <translation>Ob der Verlust auch bei kleineren Auflösungen berechnet wird.</translation>
    </message>
    <message>
        <source>Loss type</source>
        <translation>Verlustart</translation>
    </message>
    <message>
        <source>Loss function.</source>
        <translation>Verlustfunktion.</translation>
    </message>
    <message>
        <source>Smooth</source>
        <translation>Glättung</translation>
    </message>
    <message>
        <source>Added to numerator and denominator of the Dice term. With 1 and more, patches that lack a rare class push it away for good.</source>
        <translation>Wird zu Zähler und Nenner des Dice-Anteils addiert. Mit 1 und mehr drängen Ausschnitte, in denen eine seltene Klasse fehlt, sie für immer zurück.</translation>
    </message>
    <message>
        <source>Alpha</source>
        <translation>Alpha</translation>
    </message>
    <message>
        <source>Weight of the focal term: one number, or one a class, background first.</source>
        <translation>Gewicht des Focal-Terms: eine Zahl oder eine je Klasse, Hintergrund zuerst.</translation>
    </message>
    <message>
        <source>Gamma</source>
        <translation>Gamma</translation>
    </message>
    <message>
        <source>How far the focal term turns to the voxels that are still wrong.</source>
        <translation>Wie weit sich der Focal-Term den noch falschen Voxeln zuwendet.</translation>
    </message>
    <message>
        <source>Class weights</source>
        <translation>Klassengewichte</translation>
    </message>
    <message>
        <source>Weight of each class in the cross-entropy, background first; &apos;auto&apos;: rare classes more; none: all alike.</source>
        <translation>Gewicht jeder Klasse in der Kreuzentropie, Hintergrund zuerst; „auto“: seltene Klassen mehr; none: alle gleich.</translation>
    </message>
    <message>
        <source>Dice weight</source>
        <translation>Dice-Gewicht</translation>
    </message>
    <message>
        <source>Weight of the Dice term of &apos;combined&apos;; without any weight Dice and cross-entropy have 0.5.</source>
        <translation>Gewicht des Dice-Terms von „combined“; ohne jedes Gewicht haben Dice und Kreuzentropie 0.5.</translation>
    </message>
    <message>
        <source>Ce weight</source>
        <translation>CE-Gewicht</translation>
    </message>
    <message>
        <source>Weight of the cross-entropy term of &apos;combined&apos;.</source>
        <translation>Gewicht des Kreuzentropie-Terms von „combined“.</translation>
    </message>
    <message>
        <source>Focal weight</source>
        <translation>Focal-Gewicht</translation>
    </message>
    <message>
        <source>Weight of the focal term of &apos;combined&apos;.</source>
        <translation>Gewicht des Focal-Terms von „combined“.</translation>
    </message>
    <message>
        <source>Boundary weight</source>
        <translation>Randgewicht</translation>
    </message>
    <message>
        <source>Weight of the boundary term of &apos;combined&apos;.</source>
        <translation>Gewicht des Rand-Terms von „combined“.</translation>
    </message>
    <message>
        <source>Optimizer type</source>
        <translation>Optimiererart</translation>
    </message>
    <message>
        <source>Optimizer.</source>
        <translation>Optimierer.</translation>
    </message>
    <message>
        <source>Learning rate</source>
        <translation>Lernrate</translation>
    </message>
    <message>
        <source>Largest learning rate of the schedule.</source>
        <translation>Größte Lernrate des Zeitplans.</translation>
    </message>
    <message>
        <source>Betas</source>
        <translation>Betas</translation>
    </message>
    <message>
        <source>Decay of Adam&apos;s moments.</source>
        <translation>Abklingen der Momente von Adam.</translation>
    </message>
    <message>
        <source>Eps</source>
        <translation>Epsilon</translation>
    </message>
    <message>
        <source>Added to Adam&apos;s denominator.</source>
        <translation>Zum Nenner von Adam addiert.</translation>
    </message>
    <message>
        <source>Weight decay</source>
        <translation>Gewichtsabnahme</translation>
    </message>
    <message>
        <source>Pull of the weights towards zero (norms and biases: none).</source>
        <translation>Zug der Gewichte gegen null (Normen und Verschiebungen: keiner).</translation>
    </message>
    <message>
        <source>Momentum</source>
        <translation>Momentum</translation>
    </message>
    <message>
        <source>Momentum of SGD.</source>
        <translation>Momentum von SGD.</translation>
    </message>
    <message>
        <source>Nesterov</source>
        <translation>Nesterov</translation>
    </message>
    <message>
        <source>Nesterov momentum for SGD.</source>
        <translation>Nesterov-Momentum für SGD.</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>Gerät</translation>
    </message>
    <message>
        <source>auto, cpu, cuda, cuda:1, ... or mps.</source>
        <translation>auto, cpu, cuda, cuda:1, ... oder mps.</translation>
    </message>
    <message>
        <source>Devices</source>
        <translation>Geräte</translation>
    </message>
    <message>
        <source>GPUs of this machine, or processes on its CPU, that share each batch.</source>
        <translation>GPUs dieses Rechners oder Prozesse auf seiner CPU, die sich jeden Batch teilen.</translation>
    </message>
    <message>
        <source>Epochs</source>
        <translation>Epochen</translation>
    </message>
    <message>
        <source>Passes over the data; &apos;auto&apos; fits them to the budget.</source>
        <translation>Durchgänge durch die Daten; „auto“ passt sie der Dauer an.</translation>
    </message>
    <message>
        <source>Budget</source>
        <translation>Dauer</translation>
    </message>
    <message>
        <source>Time for everything, such as 20m or 1h30m; without it and epochs: 20m.</source>
        <translation>Zeit für alles, etwa 20m oder 1h30m; ohne sie und ohne epochs: 20m.</translation>
    </message>
    <message>
        <source>Lr schedule</source>
        <translation>Lernratenplan</translation>
    </message>
    <message>
        <source>How the rate falls.</source>
        <translation>Wie die Lernrate fällt.</translation>
    </message>
    <message>
        <source>Step size</source>
        <translation>Schrittweite</translation>
    </message>
    <message>
        <source>Epochs between the falls of the schedule &apos;step&apos;.</source>
        <translation>Epochen zwischen den Stufen des Plans „step“.</translation>
    </message>
    <message>
        <source>What &apos;step&apos; multiplies the rate by.</source>
        <translation>Womit „step“ die Rate multipliziert.</translation>
    </message>
    <message>
        <source>T max</source>
        <translation>T max</translation>
    </message>
    <message>
        <source>Epochs in which &apos;cosine&apos; reaches eta_min; &apos;auto&apos;: all.</source>
        <translation>Epochen, in denen „cosine“ eta_min erreicht; „auto“: alle.</translation>
    </message>
    <message>
        <source>Eta min</source>
        <translation>Eta min</translation>
    </message>
    <message>
        <source>Smallest rate of &apos;cosine&apos; and &apos;plateau&apos;.</source>
        <translation>Kleinste Rate von „cosine“ und „plateau“.</translation>
    </message>
    <message>
        <source>Power</source>
        <translation>Exponent</translation>
    </message>
    <message>
        <source>Exponent of &apos;polynomial&apos;.</source>
        <translation>Exponent von „polynomial“.</translation>
    </message>
    <message>
        <source>Factor</source>
        <translation>Faktor</translation>
    </message>
    <message>
        <source>What &apos;plateau&apos; multiplies the rate by.</source>
        <translation>Womit „plateau“ die Rate multipliziert.</translation>
    </message>
    <message>
        <source>Lr patience</source>
        <translation>Lernratengeduld</translation>
    </message>
    <message>
        <source>Epochs without a better validation loss before &apos;plateau&apos; lowers the rate; &apos;auto&apos;: patience, or 10 where that is early stopping&apos;s.</source>
        <translation>Epochen ohne besseren Validierungsverlust, bevor „plateau“ die Rate senkt; „auto“: patience, oder 10, wo das die des frühen Endes ist.</translation>
    </message>
    <message>
        <source>Warmup epochs</source>
        <translation>Aufwärmepochen</translation>
    </message>
    <message>
        <source>Epochs in which the rate rises from near zero.</source>
        <translation>Epochen, in denen die Rate von fast null ansteigt.</translation>
    </message>
    <message>
        <source>Warmup type</source>
        <translation>Aufwärmart</translation>
    </message>
    <message>
        <source>How it rises.</source>
        <translation>Wie sie ansteigt.</translation>
    </message>
    <message>
        <source>Mixed precision</source>
        <translation>Halbe Genauigkeit</translation>
    </message>
    <message>
        <source>16-bit arithmetic where the device gains from it.</source>
        <translation>16-Bit-Rechnung, wo das Gerät davon gewinnt.</translation>
    </message>
    <message>
        <source>Channels last</source>
        <translation>Kanäle zuletzt</translation>
    </message>
    <message>
        <source>Memory order of feature maps; &apos;auto&apos; takes the faster one.</source>
        <translation>Reihenfolge der Merkmalskarten im Speicher; „auto“ nimmt die schnellere.</translation>
    </message>
    <message>
        <source>Compile</source>
        <translation>Kompilieren</translation>
    </message>
    <message>
        <source>Network compiled by PyTorch; &apos;auto&apos;: on an NVIDIA GPU, where it pays.</source>
        <translation>Netz von PyTorch kompiliert; „auto“: auf einer NVIDIA-GPU, wo es sich lohnt.</translation>
    </message>
    <message>
        <source>Gradient accumulation steps</source>
        <translation>Gradientensammlung</translation>
    </message>
    <message>
        <source>Batches added up before the weights move.</source>
        <translation>Batches, die summiert werden, bevor sich die Gewichte bewegen.</translation>
    </message>
    <message>
        <source>Gradient clip</source>
        <translation>Gradientengrenze</translation>
    </message>
    <message>
        <source>Largest gradient; none leaves it as it is.</source>
        <translation>Größter Gradient; none lässt ihn, wie er ist.</translation>
    </message>
    <message>
        <source>Gradient clip type</source>
        <translation>Grenze für</translation>
    </message>
    <message>
        <source>Whether the norm or each value is limited.</source>
        <translation>Ob die Norm oder jeder Wert begrenzt wird.</translation>
    </message>
    <message>
        <source>Ema decay</source>
        <translation>EMA-Abklingen</translation>
    </message>
    <message>
        <source>Decay of the running average of the weights that becomes the model; none uses the weights.</source>
        <translation>Abklingen des laufenden Mittels der Gewichte, das zum Modell wird; none nimmt die Gewichte.</translation>
    </message>
    <message>
        <source>Validation interval</source>
        <translation>Validierungsabstand</translation>
    </message>
    <message>
        <source>Epochs between validations.</source>
        <translation>Epochen zwischen Validierungen.</translation>
    </message>
    <message>
        <source>Monitor</source>
        <translation>Überwacht</translation>
    </message>
    <message>
        <source>Logged metric that says which model is best: val_dice, val_loss, val_iou, val_dice/liver, ...</source>
        <translation>Aufgezeichnete Größe, die sagt, welches Modell das beste ist: val_dice, val_loss, val_iou, val_dice/liver, ...</translation>
    </message>
    <message>
        <source>Monitor mode</source>
        <translation>Überwachungsart</translation>
    </message>
    <message>
        <source>Whether smaller or larger is better; &apos;auto&apos;: smaller for losses.</source>
        <translation>Ob kleiner oder größer besser ist; „auto“: kleiner bei Verlusten.</translation>
    </message>
    <message>
        <source>Early stopping</source>
        <translation>Frühes Ende</translation>
    </message>
    <message>
        <source>Stop when the monitored metric does not improve.</source>
        <translation>Aufhören, wenn sich die überwachte Größe nicht verbessert.</translation>
    </message>
    <message>
        <source>Patience</source>
        <translation>Geduld</translation>
    </message>
    <message>
        <source>Epochs without improvement before stopping; &apos;auto&apos;: 30. Without early_stopping that of &apos;plateau&apos;.</source>
        <translation>Epochen ohne Verbesserung vor dem Ende; „auto“: 30. Ohne early_stopping die von „plateau“.</translation>
    </message>
    <message>
        <source>Min delta</source>
        <translation>Mindeständerung</translation>
    </message>
    <message>
        <source>Smallest change that counts as improvement.</source>
        <translation>Kleinste Änderung, die als Verbesserung zählt.</translation>
    </message>
    <message>
        <source>Checkpoint dir</source>
        <translation>Checkpoint-Ordner</translation>
    </message>
    <message>
        <source>Folder of the checkpoints, inside the job folder unless absolute.</source>
        <translation>Ordner der Checkpoints, im Ordner des Trainings, wenn nicht absolut.</translation>
    </message>
    <message>
        <source>Checkpoint seconds</source>
        <translation>Checkpoint-Abstand</translation>
    </message>
    <message>
        <source>Shortest time between checkpoints, which are written after epochs; 0 writes one after each.</source>
        <translation>Kürzeste Zeit in Sekunden zwischen Checkpoints, die nach Epochen geschrieben werden; 0 schreibt nach jeder einen.</translation>
    </message>
    <message>
        <source>Save frequency</source>
        <translation>Speicherabstand</translation>
    </message>
    <message>
        <source>Every so many epochs a checkpoint is kept under the number of its epoch.</source>
        <translation>Alle so viele Epochen bleibt ein Checkpoint unter der Nummer seiner Epoche.</translation>
    </message>
    <message>
        <source>Keep checkpoints</source>
        <translation>Checkpoint-Zahl</translation>
    </message>
    <message>
        <source>How many of these are kept; older ones go.</source>
        <translation>Wie viele davon bleiben; ältere gehen.</translation>
    </message>
    <message>
        <source>Save best only</source>
        <translation>Nur das beste</translation>
    </message>
    <message>
        <source>Keep the checkpoint with the best monitored metric as best.pt, and none by number.</source>
        <translation>Den Checkpoint mit der besten überwachten Größe als best.pt behalten und keinen nach Nummer.</translation>
    </message>
    <message>
        <source>Tensorboard</source>
        <translation>TensorBoard</translation>
    </message>
    <message>
        <source>Write event files for TensorBoard.</source>
        <translation>Ereignisdateien für TensorBoard schreiben.</translation>
    </message>
</context>
<context>
    <name>MedSegTrainerUI.first_run</name>
    <message>
        <source>{count} phantoms to train on were added. Set up section 5, then press Start training in section 2.</source>
        <translation>{count} Phantome zum Trainieren wurden hinzugefügt. Abschnitt 5 einrichten, dann in Abschnitt 2 „Training starten“ drücken.</translation>
    </message>
</context>
<context>
    <name>MedSegTrainerUI.panel_view</name>
    <message>
        <source>The scene is being closed. Open this module again when it is done.</source>
        <translation>Die Szene wird geschlossen. Danach dieses Modul wieder öffnen.</translation>
    </message>
</context>
<context>
    <name>NextToLabel</name>
    <message>
        <source>Suggest slices</source>
        <translation>Schichten vorschlagen</translation>
    </message>
    <message>
        <source>The model segments them, and says where drawing would teach it most. That takes as long as Apply.</source>
        <translation>Das Modell segmentiert sie und sagt, wo es aus einer Zeichnung am meisten lernt. Das dauert so lange wie Anwenden.</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>Stopp</translation>
    </message>
    <message>
        <source>Stops, without suggestions.</source>
        <translation>Hält an, ohne Vorschläge.</translation>
    </message>
    <message>
        <source>Where drawing would help most. A click shows the slice, and opens the Segment Editor on what the model drew there.</source>
        <translation>Wo Zeichnen am meisten hilft. Ein Klick zeigt die Schicht und öffnet den Segment Editor mit dem, was das Modell dort gezeichnet hat.</translation>
    </message>
</context>
<context>
    <name>TrainSection</name>
    <message>
        <source>How long?</source>
        <translation>Wie lange?</translation>
    </message>
    <message>
        <source>&amp;Quick: 5 minutes</source>
        <translation>&amp;Schnell: 5 Minuten</translation>
    </message>
    <message>
        <source>A first impression: whether volumes and segments fit together.</source>
        <translation>Ein erster Eindruck: ob Volumina und Segmente zusammenpassen.</translation>
    </message>
    <message>
        <source>&amp;Balanced: 20 minutes</source>
        <translation>Ausgew&amp;ogen: 20 Minuten</translation>
    </message>
    <message>
        <source>A usable model for most structures.</source>
        <translation>Ein brauchbares Modell für die meisten Strukturen.</translation>
    </message>
    <message>
        <source>&amp;Thorough: 60 minutes</source>
        <translation>&amp;Gründlich: 60 Minuten</translation>
    </message>
    <message>
        <source>For small or difficult structures, and for the model you keep.</source>
        <translation>Für kleine oder schwierige Strukturen und für das Modell, das bleiben soll.</translation>
    </message>
    <message>
        <source>&amp;Until I stop</source>
        <translation>B&amp;is zum Anhalten</translation>
    </message>
    <message>
        <source>Goes on until you press Stop. The best model so far is there at every moment.</source>
        <translation>Geht weiter, bis es gestoppt wird. Das bisher beste Modell ist jederzeit da.</translation>
    </message>
    <message>
        <source>Start from:</source>
        <translation>Ausgehen von:</translation>
    </message>
    <message>
        <source>...</source>
        <translation>...</translation>
    </message>
    <message>
        <source>Choose a model from elsewhere: its folder or its zip file.</source>
        <translation>Ein Modell von anderswo wählen: seinen Ordner oder seine Zip-Datei.</translation>
    </message>
    <message>
        <source>was:</source>
        <translation>war:</translation>
    </message>
    <message>
        <source>Adapt: keep what fits</source>
        <translation>Anpassen: behalten, was passt</translation>
    </message>
    <message>
        <source>Where the model does not fit the data, such as other channels, much larger voxels, or 2D and 3D, what can be kept of it is kept. Without the check mark the training ends in words then.</source>
        <translation>Wo das Modell nicht zu den Daten passt, etwa bei anderen Kanälen, viel größeren Voxeln oder 2D und 3D, wird von ihm behalten, was bleiben kann. Ohne das Häkchen endet das Training dann mit einer Erklärung.</translation>
    </message>
    <message>
        <source>&amp;Why?</source>
        <translation>War&amp;um?</translation>
    </message>
    <message>
        <source>What was chosen for this training, each with its reason.</source>
        <translation>Was für dieses Training gewählt wurde, jeweils mit dem Grund.</translation>
    </message>
    <message>
        <source>A&amp;dvanced</source>
        <translation>&amp;Erweitert</translation>
    </message>
    <message>
        <source>Network, loss, optimizer, schedule, augmentation, strategies. Everything has a working default.</source>
        <translation>Netz, Verlust, Optimierer, Zeitplan, Augmentierung, Strategien. Alles hat eine brauchbare Vorgabe.</translation>
    </message>
    <message>
        <source>Find a setting</source>
        <translation>Einstellung suchen</translation>
    </message>
    <message>
        <source>Shows the settings whose name or description has these words, such as rate, patch or dropout.</source>
        <translation>Zeigt die Einstellungen, deren Name oder Beschreibung diese Wörter hat, etwa Rate, Ausschnitt oder Dropout.</translation>
    </message>
    <message>
        <source>Shows the settings of one group.</source>
        <translation>Zeigt die Einstellungen einer Gruppe.</translation>
    </message>
    <message>
        <source>Load...</source>
        <translation>Laden...</translation>
    </message>
    <message>
        <source>Loads a configuration from a file (JSON).</source>
        <translation>Lädt eine Konfiguration aus einer Datei (JSON).</translation>
    </message>
    <message>
        <source>Save...</source>
        <translation>Speichern...</translation>
    </message>
    <message>
        <source>Saves the changed settings as a file, which &apos;medsegtrainer train --config&apos; takes too.</source>
        <translation>Speichert die geänderten Einstellungen als Datei, die auch „medsegtrainer train --config“ nimmt.</translation>
    </message>
    <message>
        <source>Reset</source>
        <translation>Zurücksetzen</translation>
    </message>
    <message>
        <source>All settings back to their defaults.</source>
        <translation>Alle Einstellungen auf ihre Vorgaben.</translation>
    </message>
    <message>
        <source>Co&amp;ntinue</source>
        <translation>&amp;Fortsetzen</translation>
    </message>
    <message>
        <source>&amp;Start training</source>
        <translation>&amp;Training starten</translation>
    </message>
</context>
<context>
    <name>apply.add_result</name>
    <message>
        <source>A model made no part of this segmentation.</source>
        <translation>An dieser Segmentierung stammt nichts von einem Modell.</translation>
    </message>
    <message>
        <source>Whether you looked at every slice and it is right now: then all of it counts as drawn.</source>
        <translation>Ob Sie jede Schicht angesehen haben und alles jetzt stimmt: Dann gilt das Ganze als gezeichnet.</translation>
    </message>
    <message>
        <source>Makes a row of it in section 1. Slices that you have corrected count as drawn, or all of it where you say so on the left; the rest is unknown to the training.</source>
        <translation>Macht daraus eine Zeile in Abschnitt 1. Schichten, die Sie verbessert haben, gelten als gezeichnet, oder alles, wo Sie es links sagen; der Rest ist dem Training unbekannt.</translation>
    </message>
    <message>
        <source>It is being compared with what the model drew.</source>
        <translation>Es wird mit dem verglichen, was das Modell gezeichnet hat.</translation>
    </message>
    <message>
        <source>The volume of {name} is not in the scene any more. Load it again.</source>
        <translation>Das Volumen von {name} ist nicht mehr in der Szene. Es wieder laden.</translation>
    </message>
    <message>
        <source>{volume} is in the table already, with {segmentation}. Take that row out of section 1 first, if this one is to be learned in its place.</source>
        <translation>{volume} ist schon in der Tabelle, mit {segmentation}. Diese Zeile zuerst aus Abschnitt 1 nehmen, wenn stattdessen dieses Ergebnis gelernt werden soll.</translation>
    </message>
    <message>
        <source>{name} is in section 1; what you corrected since counts too.</source>
        <translation>{name} ist in Abschnitt 1; was Sie seither verbessert haben, zählt mit.</translation>
    </message>
    <message>
        <source>{name} was added in section 1: all of it counts as drawn.</source>
        <translation>{name} kam in Abschnitt 1 hinzu: Alles gilt als gezeichnet.</translation>
    </message>
    <message>
        <source>{name} was added in section 1. {problem}</source>
        <translation>{name} kam in Abschnitt 1 hinzu. {problem}</translation>
    </message>
    <message>
        <source>{name} was added in section 1: slices that you have corrected count as drawn, {n} up to now.</source>
        <translation>{name} kam in Abschnitt 1 hinzu: Schichten, die Sie verbessert haben, gelten als gezeichnet, bisher {n}.</translation>
    </message>
</context>
<context>
    <name>apply.applied_results</name>
    <message>
        <source>Hidden, as the slice views show other volumes: {names}. A click on a segment below shows it.</source>
        <translation>Ausgeblendet, weil die Schichtansichten andere Volumina zeigen: {names}. Ein Klick auf ein Segment unten zeigt es.</translation>
    </message>
</context>
<context>
    <name>apply.dicom_series</name>
    <message>
        <source>The series {name} has no files in the DICOM database: import it again.</source>
        <translation>Die Serie {name} hat keine Dateien in der DICOM-Datenbank: Sie neu importieren.</translation>
    </message>
    <message>
        <source>{count} of the {all} slices of {volume} are not in the DICOM database any more: import them again.</source>
        <translation>{count} der {all} Schichten von {volume} sind nicht mehr in der DICOM-Datenbank: Sie neu importieren.</translation>
    </message>
    <message>
        <source>Slicer&apos;s DICOM database did not take the segmentation: its log says why.</source>
        <translation>Slicers DICOM-Datenbank hat die Segmentierung nicht angenommen: Ihr Protokoll sagt, warum.</translation>
    </message>
    <message>
        <source>This Slicer was built without its DICOM module, so that no series can be loaded.</source>
        <translation>Dieser Slicer wurde ohne sein DICOM-Modul gebaut, so dass keine Serie geladen werden kann.</translation>
    </message>
    <message>
        <source>The series cannot be loaded: it is not in the DICOM database any more, or no volume.</source>
        <translation>Die Serie lässt sich nicht laden: Sie ist nicht mehr in der DICOM-Datenbank oder kein Volumen.</translation>
    </message>
</context>
<context>
    <name>apply.folder_run</name>
    <message>
        <source>Stopped: {done} segmented. Apply to all goes on with the others.</source>
        <translation>Angehalten: {done} segmentiert. &apos;Auf alle anwenden&apos; macht mit den anderen weiter.</translation>
    </message>
    <message>
        <source>{done} segmented, {failed} not: the table says why. The others are in {folder}.</source>
        <translation>{done} segmentiert, {failed} nicht: Die Tabelle sagt, warum. Die anderen liegen in {folder}.</translation>
    </message>
    <message>
        <source>The process ended without a word. Test the environment in section 5, then press Apply to all: it goes on where it was; {log} may tell more.</source>
        <translation>Der Prozess endete ohne ein Wort. Die Umgebung in Abschnitt 5 testen, dann &apos;Auf alle anwenden&apos; drücken: Es geht dort weiter; {log} sagt vielleicht mehr.</translation>
    </message>
    <message>
        <source>{done} segmented, in {folder}.</source>
        <translation>{done} segmentiert, in {folder}.</translation>
    </message>
    <message>
        <source>{path} is in the DICOM database, and not on the disk. Import the series again.</source>
        <translation>{path} steht in der DICOM-Datenbank und liegt nicht auf der Platte. Die Serie neu importieren.</translation>
    </message>
</context>
<context>
    <name>apply.folder_table</name>
    <message>
        <source>A click loads image and result.</source>
        <translation>Ein Klick lädt Bild und Ergebnis.</translation>
    </message>
    <message>
        <source>{volume} segmentation</source>
        <translation>{volume} Segmentierung</translation>
    </message>
    <message>
        <source>{path} is not there any more.</source>
        <translation>{path} ist nicht mehr da.</translation>
    </message>
    <message>
        <source>{path} cannot be loaded into Slicer.</source>
        <translation>{path} lässt sich nicht in Slicer laden.</translation>
    </message>
</context>
<context>
    <name>apply.likely_dice</name>
    <message>
        <source>not known</source>
        <translation>unbekannt</translation>
    </message>
    <message>
        <source>look at this one: {names} probably below {dice}</source>
        <translation>ansehen: {names} vermutlich unter {dice}</translation>
    </message>
    <message>
        <source>look at this one: probably below {dice}</source>
        <translation>ansehen: vermutlich unter {dice}</translation>
    </message>
    <message>
        <source>perhaps below {dice}</source>
        <translation>vielleicht unter {dice}</translation>
    </message>
    <message>
        <source>probably good</source>
        <translation>vermutlich gut</translation>
    </message>
    <message>
        <source>The Dice that is expected of what the model drew, and where it lies in 9 of 10 cases: {text}</source>
        <translation>Der Dice, der von der Zeichnung des Modells zu erwarten ist, und wo er in 9 von 10 Fällen liegt: {text}</translation>
    </message>
    <message>
        <source>How good it is, nobody knows: the model was made by an earlier version, or no case was held out when it was trained.</source>
        <translation>Wie gut es ist, weiß niemand: Das Modell stammt von einer früheren Version, oder beim Training wurde kein Fall zurückgehalten.</translation>
    </message>
</context>
<context>
    <name>apply.many_volumes</name>
    <message>
        <source>Images in a folder</source>
        <translation>Bilder in einem Ordner</translation>
    </message>
    <message>
        <source>Series of the DICOM database</source>
        <translation>Serien der DICOM-Datenbank</translation>
    </message>
    <message>
        <source>Segmentations (.seg.nrrd)</source>
        <translation>Segmentierungen (.seg.nrrd)</translation>
    </message>
    <message>
        <source>Label maps (.nii.gz)</source>
        <translation>Label-Karten (.nii.gz)</translation>
    </message>
    <message>
        <source>DICOM segmentations of DICOM series</source>
        <translation>DICOM-Segmentierungen von DICOM-Serien</translation>
    </message>
    <message>
        <source>Volume</source>
        <translation>Volumen</translation>
    </message>
    <message>
        <source>Likely Dice</source>
        <translation>Dice etwa</translation>
    </message>
    <message>
        <source>Segments all of them, one after the other. You can go on working meanwhile.</source>
        <translation>Segmentiert sie alle nacheinander. Man kann derweil weiterarbeiten.</translation>
    </message>
    <message>
        <source>The {count} worst of {all} are shown; results.csv in the folder has all of them.</source>
        <translation>Gezeigt werden die {count} schlechtesten von {all}; alle stehen in results.csv im Ordner.</translation>
    </message>
    <message>
        <source>Volumes in millilitres and mean intensities of all segments, in a table of the scene: loads one result after the other.</source>
        <translation>Volumina in Millilitern und mittlere Intensitäten aller Segmente, in einer Tabelle der Szene: Lädt ein Ergebnis nach dem anderen.</translation>
    </message>
    <message>
        <source>collecting the series</source>
        <translation>die Serien werden gesammelt</translation>
    </message>
    <message>
        <source>They are being measured.</source>
        <translation>Sie werden gerade gemessen.</translation>
    </message>
    <message>
        <source>Wait until all are segmented, or press Stop.</source>
        <translation>Warten, bis alle segmentiert sind, oder Stopp drücken.</translation>
    </message>
    <message>
        <source>The scene is being closed.</source>
        <translation>Die Szene wird geschlossen.</translation>
    </message>
    <message>
        <source>{model} is being applied to many images.</source>
        <translation>{model} wird auf viele Bilder angewendet.</translation>
    </message>
    <message>
        <source>{model} is being applied to {names}.</source>
        <translation>{model} wird auf {names} angewendet.</translation>
    </message>
    <message>
        <source>Choose a model.</source>
        <translation>Ein Modell wählen.</translation>
    </message>
    <message>
        <source>The model takes {count} volumes a case, and a series is one. Load them, and apply it above.</source>
        <translation>Das Modell braucht {count} Volumina je Fall, und eine Serie ist eines. Sie laden und es oben anwenden.</translation>
    </message>
    <message>
        <source>Slicer has no DICOM database yet: open its DICOM module, and import images there.</source>
        <translation>Slicer hat noch keine DICOM-Datenbank: Sein DICOM-Modul öffnen und dort Bilder importieren.</translation>
    </message>
    <message>
        <source>Choose series in the table.</source>
        <translation>Serien in der Tabelle wählen.</translation>
    </message>
    <message>
        <source>Choose a folder for the results.</source>
        <translation>Einen Ordner für die Ergebnisse wählen.</translation>
    </message>
    <message>
        <source>Choose a folder with images.</source>
        <translation>Einen Ordner mit Bildern wählen.</translation>
    </message>
    <message>
        <source>{path} is no folder. Choose another one.</source>
        <translation>{path} ist kein Ordner. Einen anderen wählen.</translation>
    </message>
    <message>
        <source>Measured: {done} of {count}.</source>
        <translation>Gemessen: {done} von {count}.</translation>
    </message>
</context>
<context>
    <name>apply.result_view</name>
    <message>
        <source>Segment</source>
        <translation>Segment</translation>
    </message>
    <message>
        <source>ml</source>
        <translation>ml</translation>
    </message>
    <message>
        <source>Likely Dice</source>
        <translation>Dice etwa</translation>
    </message>
    <message>
        <source>Result</source>
        <translation>Ergebnis</translation>
    </message>
    <message>
        <source>There is none: tick Uncertainty above, and apply the model again.</source>
        <translation>Es gibt keine: oben &apos;Unsicherheit&apos; ankreuzen und das Modell noch einmal anwenden.</translation>
    </message>
    <message>
        <source>Shows where the model is unsure, under the segments: from red, a little, to white, very. Nothing is drawn where it is sure.</source>
        <translation>Zeigt unter den Segmenten, wo das Modell unsicher ist: von Rot, ein wenig, bis Weiß, sehr. Wo es sicher ist, wird nichts gezeichnet.</translation>
    </message>
    <message>
        <source>The volume of this result is not in the scene any more.</source>
        <translation>Das Volumen dieses Ergebnisses ist nicht mehr in der Szene.</translation>
    </message>
    <message>
        <source>It is not in the scene any more.</source>
        <translation>Es ist nicht mehr in der Szene.</translation>
    </message>
    <message>
        <source>A click shows it in the slice views.</source>
        <translation>Ein Klick zeigt es in den Schichtansichten.</translation>
    </message>
</context>
<context>
    <name>apply.run</name>
    <message>
        <source>{volume} segmentation</source>
        <translation>{volume} Segmentierung</translation>
    </message>
    <message>
        <source>Cancelled. {done} of {all} volumes were segmented.</source>
        <translation>Abgebrochen. {done} von {all} Volumina wurden segmentiert.</translation>
    </message>
    <message>
        <source>The process ended without a word. Test the environment in section 5, then apply the model again; {log} may tell more.</source>
        <translation>Der Prozess endete ohne ein Wort. Die Umgebung in Abschnitt 5 testen, dann das Modell noch einmal anwenden; {log} sagt vielleicht mehr.</translation>
    </message>
    <message>
        <source>Segmented: {names}.</source>
        <translation>Segmentiert: {names}.</translation>
    </message>
    <message>
        <source>stopping</source>
        <translation>stoppt</translation>
    </message>
    <message>
        <source>starting</source>
        <translation>startet</translation>
    </message>
    <message>
        <source>{time} left</source>
        <translation>noch {time}</translation>
    </message>
</context>
<context>
    <name>apply.save_as_dicom</name>
    <message>
        <source>Saves the segments as a DICOM segmentation of the series into Slicer&apos;s DICOM database, from where they can be exported and sent.</source>
        <translation>Speichert die Segmente als DICOM-Segmentierung der Serie in Slicers DICOM-Datenbank, von wo sie exportiert und versendet werden können.</translation>
    </message>
    <message>
        <source>It is being saved.</source>
        <translation>Es wird gerade gespeichert.</translation>
    </message>
    <message>
        <source>The volume of this result is not in the scene any more.</source>
        <translation>Das Volumen dieses Ergebnisses ist nicht mehr in der Szene.</translation>
    </message>
    <message>
        <source>{volume} was not loaded from Slicer&apos;s DICOM database, so that there is no series to refer to.</source>
        <translation>{volume} wurde nicht aus Slicers DICOM-Datenbank geladen, so dass es keine Serie gibt, auf die verwiesen werden könnte.</translation>
    </message>
    <message>
        <source>{name} is in Slicer&apos;s DICOM database now, as a segmentation of its series.</source>
        <translation>{name} ist jetzt in Slicers DICOM-Datenbank, als Segmentierung der zugehörigen Serie.</translation>
    </message>
    <message>
        <source>The result was not saved as DICOM: {reason}</source>
        <translation>Das Ergebnis wurde nicht als DICOM gespeichert: {reason}</translation>
    </message>
    <message>
        <source>{name} has no segments.</source>
        <translation>{name} hat keine Segmente.</translation>
    </message>
</context>
<context>
    <name>apply.section</name>
    <message>
        <source>There is no model yet: train one in section 2, or choose one with the button [...].</source>
        <translation>Es gibt noch kein Modell: eines in Abschnitt 2 trainieren oder mit dem Knopf [...] eines wählen.</translation>
    </message>
    <message>
        <source>Each volume is also segmented as mirror images, and the mean counts: a little better, much slower.</source>
        <translation>Jedes Volumen wird auch als Spiegelbilder segmentiert, und das Mittel zählt: etwas besser, viel langsamer.</translation>
    </message>
    <message>
        <source>Not for this model: it was trained without mirror images.</source>
        <translation>Nicht bei diesem Modell: Es wurde ohne Spiegelbilder trainiert.</translation>
    </message>
    <message>
        <source>Each of several volumes gets a segmentation of its own.</source>
        <translation>Jedes von mehreren Volumina bekommt eine eigene Segmentierung.</translation>
    </message>
    <message>
        <source>Where the segments go. In an existing segmentation, segments of the same names are replaced.</source>
        <translation>Wohin die Segmente kommen. In einer vorhandenen Segmentierung werden Segmente desselben Namens ersetzt.</translation>
    </message>
    <message>
        <source>Segments the volumes in another process; go on working meanwhile.</source>
        <translation>Segmentiert die Volumina in einem anderen Prozess; inzwischen kann weitergearbeitet werden.</translation>
    </message>
    <message>
        <source>It is being stopped.</source>
        <translation>Es wird gestoppt.</translation>
    </message>
    <message>
        <source>Stops; finished volumes are kept.</source>
        <translation>Stoppt; fertige Volumina bleiben.</translation>
    </message>
    <message>
        <source>The scene is being closed.</source>
        <translation>Die Szene wird geschlossen.</translation>
    </message>
    <message>
        <source>{model} is being applied to {names}.</source>
        <translation>{model} wird auf {names} angewendet.</translation>
    </message>
    <message>
        <source>{model} is being applied to many images.</source>
        <translation>{model} wird auf viele Bilder angewendet.</translation>
    </message>
    <message>
        <source>Choose a model.</source>
        <translation>Ein Modell wählen.</translation>
    </message>
    <message>
        <source>{segmentation} was made on {other}, and gets the segments of {volume}.</source>
        <translation>{segmentation} wurde auf {other} gezeichnet und bekommt die Segmente von {volume}.</translation>
    </message>
    <message>
        <source>{segmentation} already has these segments, which will be replaced: {names}.</source>
        <translation>{segmentation} hat schon diese Segmente, die ersetzt werden: {names}.</translation>
    </message>
    <message>
        <source>Change this segmentation?</source>
        <translation>Diese Segmentierung ändern?</translation>
    </message>
    <message>
        <source>The scene was closed meanwhile. The results are kept: load the volumes, then import them.</source>
        <translation>Die Szene wurde inzwischen geschlossen. Die Ergebnisse sind aufbewahrt: die Volumina laden, dann importieren.</translation>
    </message>
</context>
<context>
    <name>apply.series_chooser</name>
    <message>
        <source>Patient</source>
        <translation>Patient</translation>
    </message>
    <message>
        <source>Series</source>
        <translation>Serie</translation>
    </message>
    <message>
        <source>Kind</source>
        <translation>Art</translation>
    </message>
    <message>
        <source>Reading the DICOM database: {count} series</source>
        <translation>Die DICOM-Datenbank wird gelesen: {count} Serien</translation>
    </message>
    <message>
        <source>{chosen} chosen of {count} series.</source>
        <translation>{chosen} von {count} Serien gewählt.</translation>
    </message>
    <message>
        <source>The first {count} are shown: search for others.</source>
        <translation>Die ersten {count} werden gezeigt: Andere suchen.</translation>
    </message>
</context>
<context>
    <name>apply.statistics</name>
    <message>
        <source>Segment statistics</source>
        <translation>Segmentstatistik</translation>
    </message>
    <message>
        <source>Slicer&apos;s module Segment Statistics is not there. Switch it on in Slicer&apos;s settings, and restart Slicer.</source>
        <translation>Das Modul Segment Statistics von Slicer ist nicht da. Es in den Einstellungen von Slicer einschalten und Slicer neu starten.</translation>
    </message>
    <message>
        <source>The volumes and mean intensities are in the table {name}.</source>
        <translation>Die Volumina und mittleren Intensitäten stehen in der Tabelle {name}.</translation>
    </message>
</context>
<context>
    <name>apply.volume_chooser</name>
    <message>
        <source>Choose one or several volumes.</source>
        <translation>Ein oder mehrere Volumina wählen.</translation>
    </message>
    <message>
        <source>Choose a volume for each channel: {names}.</source>
        <translation>Für jeden Kanal ein Volumen wählen: {names}.</translation>
    </message>
    <message>
        <source>Choose a volume</source>
        <translation>Volumen wählen</translation>
    </message>
    <message>
        <source>The volume that is the channel {name} of the model.</source>
        <translation>Das Volumen, das der Kanal {name} des Modells ist.</translation>
    </message>
</context>
<context>
    <name>apply.waiting_results</name>
    <message>
        <source>Not in the scene: results of {model} on {names}, {when}.</source>
        <translation>Nicht in der Szene: Ergebnisse von {model} für {names}, {when}.</translation>
    </message>
    <message>
        <source>Adds the segments to the volumes they belong to, which must be in the scene.</source>
        <translation>Fügt die Segmente zu ihren Volumina hinzu, die in der Szene sein müssen.</translation>
    </message>
    <message>
        <source>Removes these results; they can be brought back.</source>
        <translation>Entfernt diese Ergebnisse; sie können zurückgeholt werden.</translation>
    </message>
</context>
<context>
    <name>data.blocking_problem</name>
    <message>
        <source>Add what you segmented: &apos;Add all from scene&apos; takes each volume with its segmentation.</source>
        <translation>Segmentiertes hinzufügen: „Alles aus der Szene“ nimmt jedes Volumen mit seiner Segmentierung.</translation>
    </message>
    <message>
        <source>No row has a check mark. Set it for the cases to train on.</source>
        <translation>Keine Zeile hat ein Häkchen. Bei den Fällen setzen, an denen trainiert werden soll.</translation>
    </message>
    <message>
        <source>{volume} has no segmentation. Segment it in the Segment Editor and add it again with its segmentation, or take its check mark away.</source>
        <translation>{volume} hat keine Segmentierung. Es im Segment-Editor segmentieren und mit seiner Segmentierung noch einmal hinzufügen oder sein Häkchen wegnehmen.</translation>
    </message>
    <message>
        <source>There is no class to learn. Set the check mark of at least one in the list of classes.</source>
        <translation>Es gibt keine Klasse zu lernen. In der Liste der Klassen mindestens ein Häkchen setzen.</translation>
    </message>
    <message>
        <source>Rename &apos;{name}&apos;</source>
        <translation>„{name}“ umbenennen</translation>
    </message>
    <message>
        <source>Merge &apos;{names}&apos;</source>
        <translation>„{names}“ zusammenfassen</translation>
    </message>
    <message>
        <source>&apos; and &apos;</source>
        <translation>“ und „</translation>
    </message>
    <message>
        <source>no volumes yet</source>
        <translation>noch keine Volumina</translation>
    </message>
    <message>
        <source>1 volume</source>
        <translation>1 Volumen</translation>
    </message>
    <message>
        <source>{n} volumes</source>
        <translation>{n} Volumina</translation>
    </message>
    <message>
        <source>1 class</source>
        <translation>1 Klasse</translation>
    </message>
    <message>
        <source>{n} classes</source>
        <translation>{n} Klassen</translation>
    </message>
    <message>
        <source>being looked at</source>
        <translation>wird durchgesehen</translation>
    </message>
    <message>
        <source>not ready</source>
        <translation>nicht bereit</translation>
    </message>
    <message>
        <source>ready</source>
        <translation>bereit</translation>
    </message>
    <message>
        <source>{volumes}, {classes}, {state}</source>
        <translation>{volumes}, {classes}, {state}</translation>
    </message>
    <message>
        <source>The classes &apos;{names}&apos; are spelled almost alike. Merge them, or rename one.</source>
        <translation>Die Klassen „{names}“ sind fast gleich geschrieben. Sie zusammenfassen oder eine umbenennen.</translation>
    </message>
    <message>
        <source>{case} has &apos;{names}&apos;, which no other case has; {other} has &apos;{others}&apos;. Merge what is the same. What is not drawn in a case counts as unknown there.</source>
        <translation>{case} hat „{names}“, was kein anderer Fall hat; {other} hat „{others}“. Zusammenfassen, was dasselbe ist. Was in einem Fall nicht gezeichnet ist, gilt dort als unbekannt.</translation>
    </message>
</context>
<context>
    <name>data.buttons</name>
    <message>
        <source>Stop &amp;check</source>
        <translation>Pr&amp;üfung stoppen</translation>
    </message>
    <message>
        <source>&amp;Check data</source>
        <translation>Daten pr&amp;üfen</translation>
    </message>
    <message>
        <source>There are no volumes to check yet.</source>
        <translation>Es gibt noch keine Volumina zu prüfen.</translation>
    </message>
    <message>
        <source>Looks for what would spoil a training, such as labels beside their organ. Takes seconds a volume.</source>
        <translation>Sucht, was ein Training verderben würde, etwa Segmente neben ihrem Organ. Dauert Sekunden je Volumen.</translation>
    </message>
    <message>
        <source>A check is running.</source>
        <translation>Eine Prüfung läuft.</translation>
    </message>
    <message>
        <source>Adds each volume of the scene with its segmentation.</source>
        <translation>Fügt jedes Volumen der Szene mit seiner Segmentierung hinzu.</translation>
    </message>
    <message>
        <source>Adds the labelled volumes of a folder, without loading them into the scene.</source>
        <translation>Fügt die segmentierten Volumina eines Ordners hinzu, ohne sie in die Szene zu laden.</translation>
    </message>
    <message>
        <source>Choose a volume on the left first.</source>
        <translation>Zuerst links ein Volumen wählen.</translation>
    </message>
    <message>
        <source>Adds the chosen volume with the segmentation beside it.</source>
        <translation>Fügt das gewählte Volumen mit der Segmentierung daneben hinzu.</translation>
    </message>
    <message>
        <source>Select a row of the table first.</source>
        <translation>Zuerst eine Zeile der Tabelle auswählen.</translation>
    </message>
    <message>
        <source>Says what was drawn in the selected cases, and where: everywhere, in single slices, or inside a box.</source>
        <translation>Sagt, was in den ausgewählten Fällen gezeichnet ist, und wo: überall, in einzelnen Schichten oder in einem Kasten.</translation>
    </message>
    <message>
        <source>Removes the selected rows.</source>
        <translation>Entfernt die ausgewählten Zeilen.</translation>
    </message>
    <message>
        <source>Select two or more classes first, with Ctrl or Shift.</source>
        <translation>Zuerst zwei oder mehr Klassen auswählen, mit Strg oder Umschalt.</translation>
    </message>
    <message>
        <source>Makes one class of those selected, with the name of the first.</source>
        <translation>Macht aus den ausgewählten eine Klasse mit dem Namen der ersten.</translation>
    </message>
    <message>
        <source>Select one class first.</source>
        <translation>Zuerst eine Klasse auswählen.</translation>
    </message>
    <message>
        <source>Gives the class another name; so does a double click.</source>
        <translation>Gibt der Klasse einen anderen Namen; das tut auch ein Doppelklick.</translation>
    </message>
    <message>
        <source>The network does not learn the selected classes.</source>
        <translation>Das Netz lernt die ausgewählten Klassen nicht.</translation>
    </message>
    <message>
        <source>Nothing was changed here.</source>
        <translation>Hier wurde nichts geändert.</translation>
    </message>
    <message>
        <source>Each segment is a class of its own name again.</source>
        <translation>Jedes Segment ist wieder eine Klasse seines eigenen Namens.</translation>
    </message>
    <message>
        <source>The scene is being closed.</source>
        <translation>Die Szene wird geschlossen.</translation>
    </message>
</context>
<context>
    <name>data.drawn_menu</name>
    <message>
        <source>These cases lie in a folder: its drawn.json says what was drawn in them.</source>
        <translation>Diese Fälle liegen in einem Ordner: Seine drawn.json sagt, was in ihnen gezeichnet ist.</translation>
    </message>
    <message>
        <source>Drawn here</source>
        <translation>Hier gezeichnet</translation>
    </message>
    <message>
        <source>Looked for, and not there</source>
        <translation>Gesucht und nicht da</translation>
    </message>
    <message>
        <source>Not drawn here: what is there is not learned</source>
        <translation>Hier nicht gezeichnet: was da ist, wird nicht gelernt</translation>
    </message>
    <message>
        <source>Not drawn here</source>
        <translation>Hier nicht gezeichnet</translation>
    </message>
    <message>
        <source>Made by a model: drawn in the slices that were corrected</source>
        <translation>Von einem Modell: gezeichnet in den verbesserten Schichten</translation>
    </message>
    <message>
        <source>{direction} slices</source>
        <translation>{direction}e Schichten</translation>
    </message>
    <message>
        <source>Direction found from what was changed</source>
        <translation>Richtung aus dem gefunden, was geändert wurde</translation>
    </message>
    <message>
        <source>Made by a model: I looked at all of it</source>
        <translation>Von einem Modell: Ich habe alles angesehen</translation>
    </message>
    <message>
        <source>Drawn everywhere in the volume</source>
        <translation>Überall im Volumen gezeichnet</translation>
    </message>
    <message>
        <source>Drawn in the slices that have something in them</source>
        <translation>In den Schichten gezeichnet, in denen etwas ist</translation>
    </message>
    <message>
        <source>Direction found from what is drawn</source>
        <translation>Richtung aus dem Gezeichneten gefunden</translation>
    </message>
    <message>
        <source>Drawn inside a ROI: there is none, make one in the module Markups</source>
        <translation>In einer ROI gezeichnet: Es gibt keine, eine im Modul Markups anlegen</translation>
    </message>
    <message>
        <source>Drawn inside the ROI</source>
        <translation>In der ROI gezeichnet</translation>
    </message>
</context>
<context>
    <name>data.drawn_texts</name>
    <message>
        <source>{n} of {all}</source>
        <translation>{n} von {all}</translation>
    </message>
    <message>
        <source>A click changes it.</source>
        <translation>Ein Klick ändert es.</translation>
    </message>
    <message>
        <source>1 corrected slice</source>
        <translation>1 verbesserte Schicht</translation>
    </message>
    <message>
        <source>{n} corrected slices</source>
        <translation>{n} verbesserte Schichten</translation>
    </message>
    <message>
        <source>looked at all of it</source>
        <translation>alles angesehen</translation>
    </message>
    <message>
        <source>slices</source>
        <translation>Schichten</translation>
    </message>
    <message>
        <source>ROI</source>
        <translation>ROI</translation>
    </message>
    <message>
        <source>box</source>
        <translation>Kasten</translation>
    </message>
    <message>
        <source>Drawn in the slices that have something in them: {n} {direction} ones.</source>
        <translation>In den Schichten gezeichnet, in denen etwas ist ({direction}): {n}.</translation>
    </message>
    <message>
        <source>Drawn in the slices that have something in them.</source>
        <translation>In den Schichten gezeichnet, in denen etwas ist.</translation>
    </message>
    <message>
        <source>A model drew it: only slices that were corrected count as drawn, {n} up to now.</source>
        <translation>Ein Modell hat es gezeichnet: Nur verbesserte Schichten gelten als gezeichnet, bisher {n}.</translation>
    </message>
    <message>
        <source>A model drew it: only slices that were corrected count as drawn, {n} {direction} ones up to now.</source>
        <translation>Ein Modell hat es gezeichnet: Nur verbesserte Schichten gelten als gezeichnet, bisher {n} {direction}e.</translation>
    </message>
    <message>
        <source>A model drew it, and you looked at all of it.</source>
        <translation>Ein Modell hat es gezeichnet, und Sie haben alles angesehen.</translation>
    </message>
    <message>
        <source>Drawn inside the ROI {name}.</source>
        <translation>In der ROI {name} gezeichnet.</translation>
    </message>
    <message>
        <source>Drawn inside a box that its folder names.</source>
        <translation>In einem Kasten gezeichnet, den sein Ordner nennt.</translation>
    </message>
    <message>
        <source>Drawn everywhere in the volume.</source>
        <translation>Überall im Volumen gezeichnet.</translation>
    </message>
    <message>
        <source>sagittal</source>
        <translation>sagittal</translation>
    </message>
    <message>
        <source>coronal</source>
        <translation>koronal</translation>
    </message>
    <message>
        <source>axial</source>
        <translation>axial</translation>
    </message>
    <message>
        <source>drawn</source>
        <translation>gezeichnet</translation>
    </message>
    <message>
        <source>looked for, not there</source>
        <translation>gesucht, nicht da</translation>
    </message>
    <message>
        <source>not drawn</source>
        <translation>nicht gezeichnet</translation>
    </message>
    <message>
        <source>Drawn: {names}.</source>
        <translation>Gezeichnet: {names}.</translation>
    </message>
    <message>
        <source>Looked for, and not there: {names}.</source>
        <translation>Gesucht und nicht da: {names}.</translation>
    </message>
    <message>
        <source>Not drawn, so nothing is known of it: {names}.</source>
        <translation>Nicht gezeichnet, also ist nichts darüber bekannt: {names}.</translation>
    </message>
</context>
<context>
    <name>data.next_to_label</name>
    <message>
        <source>Volume</source>
        <translation>Volumen</translation>
    </message>
    <message>
        <source>Slice</source>
        <translation>Schicht</translation>
    </message>
    <message>
        <source>Why</source>
        <translation>Warum</translation>
    </message>
    <message>
        <source>{model} looks at the volumes that are not drawn, or in slices only: {count}.</source>
        <translation>{model} sieht sich die Volumina an, die nicht oder nur in Schichten gezeichnet sind: {count}.</translation>
    </message>
    <message>
        <source>The model segments them, and says where drawing would teach it most. That takes as long as Apply.</source>
        <translation>Das Modell segmentiert sie und sagt, wo es aus einer Zeichnung am meisten lernt. Das dauert so lange wie Anwenden.</translation>
    </message>
    <message>
        <source>stopping</source>
        <translation>stoppt</translation>
    </message>
    <message>
        <source>axial</source>
        <translation>axial</translation>
    </message>
    <message>
        <source>coronal</source>
        <translation>koronal</translation>
    </message>
    <message>
        <source>sagittal</source>
        <translation>sagittal</translation>
    </message>
    <message>
        <source>A click shows it, and opens the Segment Editor.</source>
        <translation>Ein Klick zeigt sie und öffnet den Segment Editor.</translation>
    </message>
    <message>
        <source>The scene is being closed.</source>
        <translation>Die Szene wird geschlossen.</translation>
    </message>
    <message>
        <source>{model} is looking at the volumes.</source>
        <translation>{model} sieht sich die Volumina an.</translation>
    </message>
    <message>
        <source>Train a model first, or choose one in section 3: it says what it is unsure about.</source>
        <translation>Erst ein Modell trainieren oder in Abschnitt 3 wählen: Es sagt, worin es unsicher ist.</translation>
    </message>
    <message>
        <source>Load volumes that are not drawn yet: there is none, and no case that is drawn in slices only.</source>
        <translation>Volumina laden, die noch nicht gezeichnet sind: Es gibt keines, und keinen Fall, der nur in Schichten gezeichnet ist.</translation>
    </message>
    <message>
        <source>Correct this slice completely in the Segment Editor. Then press &apos;Add to training data&apos; in section 3: only the slices that you have corrected are learned.</source>
        <translation>Diese Schicht im Segment Editor vollständig korrigieren. Dann in Abschnitt 3 &apos;Zu den Trainingsdaten&apos; drücken: Nur die korrigierten Schichten werden gelernt.</translation>
    </message>
    <message>
        <source>Draw this slice completely in the Segment Editor. The outline is what the model would draw.</source>
        <translation>Diese Schicht im Segment Editor vollständig zeichnen. Der Umriss ist, was das Modell zeichnen würde.</translation>
    </message>
</context>
<context>
    <name>data.overlap_row</name>
    <message>
        <source>each is learned whole</source>
        <translation>jedes wird ganz gelernt</translation>
    </message>
    <message>
        <source>the later class wins</source>
        <translation>die spätere Klasse gewinnt</translation>
    </message>
    <message>
        <source>do not train</source>
        <translation>nicht trainieren</translation>
    </message>
    <message>
        <source>A voxel can have several classes, such as a tumor inside of a liver: the network answers for each class by itself, and its results overlap, too.</source>
        <translation>Ein Voxel kann mehrere Klassen haben, etwa ein Tumor in einer Leber: Das Netz antwortet für jede Klasse einzeln, und auch seine Ergebnisse überlappen.</translation>
    </message>
    <message>
        <source>A voxel has one class: where segments overlap, the one that comes later in the list of classes. Right for small slips, and for a tumor that was drawn over the liver around it.</source>
        <translation>Ein Voxel hat eine Klasse: wo Segmente überlappen, die in der Liste der Klassen spätere. Richtig bei kleinen Ausrutschern und bei einem Tumor, der über die Leber um ihn gezeichnet wurde.</translation>
    </message>
    <message>
        <source>Segments that overlap are told as errors, to be corrected.</source>
        <translation>Segmente, die überlappen, werden als Fehler gemeldet, um sie zu verbessern.</translation>
    </message>
</context>
<context>
    <name>data.row_viewer</name>
    <message>
        <source>{name} lies in a folder: load its files to see it.</source>
        <translation>{name} liegt in einem Ordner: seine Dateien laden, um es zu sehen.</translation>
    </message>
</context>
<context>
    <name>data.scene_import</name>
    <message>
        <source>The added scene has training data of its own: {count} rows were added to yours.</source>
        <translation>Die hinzugefügte Szene hat eigene Trainingsdaten: {count} Zeilen kamen zu den bisherigen hinzu.</translation>
    </message>
</context>
<context>
    <name>data.scene_pairs</name>
    <message>
        <source>{names}: label maps are added when they were converted to segmentations, in the Data module.</source>
        <translation>{names}: Labelmaps werden hinzugefügt, wenn sie im Modul „Daten“ in Segmentierungen umgewandelt sind.</translation>
    </message>
    <message>
        <source>{names}: what a model drew is added with &apos;Add to training data&apos; in section 3, when it was corrected.</source>
        <translation>{names}: Was ein Modell gezeichnet hat, kommt mit „Zu den Trainingsdaten“ in Abschnitt 3 hinzu, wenn es verbessert ist.</translation>
    </message>
    <message>
        <source>Every segmented volume of the scene is in the table already.</source>
        <translation>Jedes segmentierte Volumen der Szene ist schon in der Tabelle.</translation>
    </message>
    <message>
        <source>No volume of the scene has a segmentation. Segment one in the Segment Editor first.</source>
        <translation>Kein Volumen der Szene hat eine Segmentierung. Zuerst eines im Segment-Editor segmentieren.</translation>
    </message>
</context>
<context>
    <name>data.section</name>
    <message>
        <source>full report</source>
        <translation>ganzer Bericht</translation>
    </message>
    <message>
        <source>Choose a volume on the left first.</source>
        <translation>Zuerst links ein Volumen wählen.</translation>
    </message>
    <message>
        <source>Folder with labelled volumes</source>
        <translation>Ordner mit segmentierten Volumina</translation>
    </message>
</context>
<context>
    <name>data.suggest_run</name>
    <message>
        <source>It ended without a word. Test the environment in section 5, then try again; {log} may tell more.</source>
        <translation>Es endete ohne ein Wort. Die Umgebung in Abschnitt 5 testen, dann noch einmal versuchen; {log} sagt vielleicht mehr.</translation>
    </message>
    <message>
        <source>{volume} segmentation</source>
        <translation>{volume} Segmentierung</translation>
    </message>
    <message>
        <source>A volume was removed from the scene. Ask for suggestions again.</source>
        <translation>Ein Volumen wurde aus der Szene entfernt. Die Vorschläge neu anfordern.</translation>
    </message>
</context>
<context>
    <name>data.tables</name>
    <message>
        <source>Whether the network learns from this case.</source>
        <translation>Ob das Netz aus diesem Fall lernt.</translation>
    </message>
    <message>
        <source>Whether the network learns this class.</source>
        <translation>Ob das Netz diese Klasse lernt.</translation>
    </message>
    <message>
        <source>Millilitres of it in all cases together.</source>
        <translation>Milliliter davon in allen Fällen zusammen.</translation>
    </message>
    <message>
        <source>file</source>
        <translation>Datei</translation>
    </message>
    <message>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <source>not used</source>
        <translation>unbenutzt</translation>
    </message>
    <message>
        <source>Without a check mark the network does not learn from it.</source>
        <translation>Ohne Häkchen lernt das Netz nicht daraus.</translation>
    </message>
    <message>
        <source>Its segments are being looked at.</source>
        <translation>Seine Segmente werden durchgesehen.</translation>
    </message>
    <message>
        <source>ok</source>
        <translation>ok</translation>
    </message>
    <message>
        <source>Nothing was found to be wrong.</source>
        <translation>Es wurde nichts Falsches gefunden.</translation>
    </message>
    <message>
        <source>Cases that have it; it was looked for in {n}.</source>
        <translation>Fälle, die sie haben; gesucht wurde sie in {n}.</translation>
    </message>
    <message>
        <source>Double-click to rename.</source>
        <translation>Doppelklick zum Umbenennen.</translation>
    </message>
    <message>
        <source>Made of the segments {names}. Double-click to rename.</source>
        <translation>Aus den Segmenten {names}. Doppelklick zum Umbenennen.</translation>
    </message>
</context>
<context>
    <name>data.verify_run</name>
    <message>
        <source>checking, {percent} %</source>
        <translation>prüft, {percent} %</translation>
    </message>
    <message>
        <source>The check was stopped.</source>
        <translation>Die Prüfung wurde gestoppt.</translation>
    </message>
    <message>
        <source>The check ended without a word. Test the environment in section 5; {log} may tell more.</source>
        <translation>Die Prüfung endete ohne ein Wort. Die Umgebung in Abschnitt 5 testen; {log} sagt vielleicht mehr.</translation>
    </message>
    <message>
        <source>The classes of this folder overlap, or have a file each (first in {case}). Load its volumes and segmentations into the scene and add them from there, or train it with the command line.</source>
        <translation>Die Klassen dieses Ordners überlappen sich oder haben je eine Datei (zuerst in {case}). Seine Volumina und Segmentierungen in die Szene laden und von dort hinzufügen oder ihn mit der Kommandozeile trainieren.</translation>
    </message>
</context>
<context>
    <name>environment.build</name>
    <message>
        <source>Testing: one step of a training</source>
        <translation>Testet: ein Schritt eines Trainings</translation>
    </message>
    <message>
        <source>{python} cannot be started ({said}). Choose a Python interpreter (python.exe, or bin/python).</source>
        <translation>{python} lässt sich nicht starten ({said}). Einen Python-Interpreter wählen (python.exe oder bin/python).</translation>
    </message>
    <message>
        <source>The Python {python} lacks the package {name}. Choose another one, press Set up or Repair, or install the packages of requirements.txt in it.</source>
        <translation>Dem Python {python} fehlt das Paket {name}. Ein anderes wählen, „Einrichten“ oder „Reparieren“ drücken oder die Pakete von requirements.txt darin installieren.</translation>
    </message>
    <message>
        <source>The Python {python} is too old or damaged ({line}). Python 3.10 or newer is needed.</source>
        <translation>Das Python {python} ist zu alt oder beschädigt ({line}). Gebraucht wird Python 3.10 oder neuer.</translation>
    </message>
    <message>
        <source>The self-test</source>
        <translation>Der Selbsttest</translation>
    </message>
    <message>
        <source>Looking for space on the disk</source>
        <translation>Sucht Platz auf dem Datenträger</translation>
    </message>
    <message>
        <source>Stopped.</source>
        <translation>Gestoppt.</translation>
    </message>
    <message>
        <source>Stopped. What was loaded already is kept.</source>
        <translation>Gestoppt. Was schon geladen ist, bleibt.</translation>
    </message>
    <message>
        <source>An error that should not happen: {error}. Please report it with the log.</source>
        <translation>Ein Fehler, der nicht vorkommen sollte: {error}. Bitte mit dem Protokoll melden.</translation>
    </message>
</context>
<context>
    <name>environment.build_messages</name>
    <message>
        <source>The disk is full. Free some space, then press Repair.</source>
        <translation>Der Datenträger ist voll. Platz schaffen, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>The virus scanner of this computer took a file of a package away. Ask whoever looks after the computer to except the folder MedSegTrainer in your home folder, then press Repair.</source>
        <translation>Der Virenscanner dieses Rechners hat eine Datei eines Pakets weggenommen. Wer den Rechner betreut, möge den Ordner MedSegTrainer im Benutzerordner ausnehmen; dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>A file is held by another program, most often by the virus scanner while it looks at new files, or by a training. Stop trainings and press Repair; where it comes again, have the folder MedSegTrainer in your home folder excepted from scanning.</source>
        <translation>Eine Datei wird von einem anderen Programm festgehalten, meist vom Virenscanner, der neue Dateien ansieht, oder von einem Training. Trainings stoppen und „Reparieren“ drücken; kommt es wieder, den Ordner MedSegTrainer im Benutzerordner von der Prüfung ausnehmen lassen.</translation>
    </message>
    <message>
        <source>A file may not be written. Close programs that use the folder (a training, a virus scanner), see that you may write there, then press Repair.</source>
        <translation>Eine Datei darf nicht geschrieben werden. Programme schließen, die den Ordner benutzen (ein Training, ein Virenscanner), die Schreibrechte prüfen, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>The proxy of this network did not let the download through: it wants a name and a password. Set both in the system&apos;s environment variable HTTPS_PROXY (http://name:password@address:port), restart Slicer and press Repair.</source>
        <translation>Der Proxy dieses Netzwerks ließ den Download nicht durch: Er verlangt Namen und Passwort. Beides in der Umgebungsvariablen HTTPS_PROXY des Systems setzen (http://Name:Passwort@Adresse:Port), Slicer neu starten und „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>The proxy of this network did not let the download through, or its address is wrong. Ask for the right one, set it as HTTPS_PROXY in the system&apos;s environment variables, restart Slicer and press Repair. Where downloads are forbidden, install from a folder of wheels.</source>
        <translation>Der Proxy dieses Netzwerks ließ den Download nicht durch, oder seine Adresse ist falsch. Nach der richtigen fragen, sie als HTTPS_PROXY in den Umgebungsvariablen des Systems setzen, Slicer neu starten und „Reparieren“ drücken. Wo Downloads verboten sind, aus einem Wheel-Ordner installieren.</translation>
    </message>
    <message>
        <source>The network shows a certificate that is not trusted, as proxies do that read along. Ask the people who run it for their certificate file, name it in the environment variable SSL_CERT_FILE, restart Slicer, press Repair.</source>
        <translation>Das Netzwerk zeigt ein Zertifikat, dem nicht vertraut wird, wie Proxys, die mitlesen. Die Betreiber nach ihrer Zertifikatsdatei fragen, sie in der Umgebungsvariablen SSL_CERT_FILE nennen, Slicer neu starten und „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>The server of the packages refuses this computer: it wants a login, or the network forbids it. Ask the people who run the network, or install from a folder of wheels.</source>
        <translation>Der Server der Pakete weist diesen Rechner ab: Er verlangt eine Anmeldung, oder das Netzwerk verbietet es. Die Betreiber des Netzwerks fragen oder aus einem Wheel-Ordner installieren.</translation>
    </message>
    <message>
        <source>The server of the packages does not work at the moment. Press Repair in some minutes: what was loaded already is kept.</source>
        <translation>Der Server der Pakete arbeitet gerade nicht. In einigen Minuten „Reparieren“ drücken: Was schon geladen ist, bleibt.</translation>
    </message>
    <message>
        <source>There is no connection to the server of the packages, or it broke off. Check that this computer is on the Internet (behind a proxy, set HTTPS_PROXY), then press Repair: what was loaded already is kept. Without Internet, install from a folder of wheels.</source>
        <translation>Es gibt keine Verbindung zum Server der Pakete, oder sie brach ab. Prüfen, ob dieser Rechner im Internet ist (hinter einem Proxy HTTPS_PROXY setzen), dann „Reparieren“ drücken: Was schon geladen ist, bleibt. Ohne Internet aus einem Wheel-Ordner installieren.</translation>
    </message>
    <message>
        <source>A package is not the file that was meant (its hash differs): it was damaged on its way, or changed. Press Repair to load it again; where it stays so, tell the people who run the network, or fill the folder of wheels anew.</source>
        <translation>Ein Paket ist nicht die gemeinte Datei (sein Hash weicht ab): Es wurde unterwegs beschädigt oder verändert. „Reparieren“ drücken, um es neu zu laden; bleibt es so, die Betreiber des Netzwerks benachrichtigen oder den Wheel-Ordner neu füllen.</translation>
    </message>
    <message>
        <source>A download arrived damaged. Press Repair to load it again.</source>
        <translation>Ein Download kam beschädigt an. „Reparieren“ drücken, um ihn neu zu laden.</translation>
    </message>
    <message>
        <source>The computer ran out of memory while packages were unpacked. Close other programs, then press Repair.</source>
        <translation>Beim Auspacken der Pakete ging dem Rechner der Speicher aus. Andere Programme schließen, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>The driver of the NVIDIA GPU is too old for this PyTorch. Install the newest driver from NVIDIA, restart the computer and press Test; or choose the CPU under Train on, which is much slower.</source>
        <translation>Der Treiber der NVIDIA-GPU ist zu alt für dieses PyTorch. Den neuesten Treiber von NVIDIA installieren, den Rechner neu starten und „Testen“ drücken; oder unter „Trainieren auf“ die CPU wählen, die viel langsamer ist.</translation>
    </message>
    <message>
        <source>The Python of this computer cannot make environments (on Debian and Ubuntu: sudo apt install python3-venv). Install that, or a Python 3.12 from python.org, then press Repair.</source>
        <translation>Das Python dieses Rechners kann keine Umgebungen anlegen (unter Debian und Ubuntu: sudo apt install python3-venv). Das oder ein Python 3.12 von python.org installieren, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>A package does not exist for this computer and its Python. Install Python 3.12 from python.org and press Repair, or choose an existing Python with PyTorch.</source>
        <translation>Ein Paket gibt es für diesen Rechner und sein Python nicht. Python 3.12 von python.org installieren und „Reparieren“ drücken oder ein vorhandenes Python mit PyTorch wählen.</translation>
    </message>
    <message>
        <source>The server of the packages has no file of a package that fits this computer and its Python; a server of a company may lack it, or refuse it. Ask the people who run it, or install Python 3.12 from python.org, then press Repair.</source>
        <translation>Der Server der Pakete hat keine Datei eines Pakets, die zu diesem Rechner und seinem Python passt; dem Server einer Firma kann sie fehlen, oder er verweigert sie. Die Betreiber fragen oder Python 3.12 von python.org installieren, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>The folder of wheels lacks a package, or has it for another Python or system only. Fill it on a computer with the same system and the same version of Python, then press Repair.</source>
        <translation>Dem Wheel-Ordner fehlt ein Paket, oder er hat es nur für ein anderes Python oder System. Ihn auf einem Rechner mit demselben System und derselben Python-Version füllen, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>There is too little space for PyTorch in {folder}: {needed} are needed, {free} are free. Free some space, then press Set up, or choose an existing Python.</source>
        <translation>In {folder} ist zu wenig Platz für PyTorch: {needed} werden gebraucht, {free} sind frei. Platz schaffen, dann „Einrichten“ drücken, oder ein vorhandenes Python wählen.</translation>
    </message>
    <message>
        <source>{what} was ended by the system or by another program; most often memory ran out. Press Repair.</source>
        <translation>{what} wurde vom System oder von einem anderen Programm beendet; meist ging der Speicher aus. „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>it said nothing</source>
        <translation>ohne ein Wort</translation>
    </message>
    <message>
        <source>{what} failed (exit code {code}): {said}. The log tells more; Repair tries it again.</source>
        <translation>{what} scheiterte (Exit-Code {code}): {said}. Das Protokoll sagt mehr; „Reparieren“ versucht es noch einmal.</translation>
    </message>
</context>
<context>
    <name>environment.build_packages</name>
    <message>
        <source>The folder of wheels {folder} is not there. Choose another, or empty the field.</source>
        <translation>Der Wheel-Ordner {folder} ist nicht da. Einen anderen wählen oder das Feld leeren.</translation>
    </message>
    <message>
        <source> with pip</source>
        <translation> mit pip</translation>
    </message>
    <message>
        <source>Loading packages{tool}</source>
        <translation>Lädt Pakete{tool}</translation>
    </message>
    <message>
        <source>Unpacking packages from {folder}{tool}; all hashes are checked but that of PyTorch</source>
        <translation>Packt Pakete aus {folder}{tool} aus; alle Hashes außer dem von PyTorch werden geprüft</translation>
    </message>
    <message>
        <source>The packages could not be loaded with uv; pip is tried.</source>
        <translation>Die Pakete ließen sich mit uv nicht laden; pip wird versucht.</translation>
    </message>
    <message>
        <source>The PyTorch made for this GPU could not be loaded; the usual one is tried.</source>
        <translation>Das PyTorch für diese GPU ließ sich nicht laden; das übliche wird versucht.</translation>
    </message>
    <message>
        <source>Loading the installer (uv, 20 MB)</source>
        <translation>Lädt das Installationsprogramm (uv, 20 MB)</translation>
    </message>
    <message>
        <source>The installer uv could not be loaded; pip is used instead, which takes longer.</source>
        <translation>Das Installationsprogramm uv ließ sich nicht laden; stattdessen dient pip, was länger dauert.</translation>
    </message>
    <message>
        <source>Making an environment with Python 3.12</source>
        <translation>Legt eine Umgebung mit Python 3.12 an</translation>
    </message>
    <message>
        <source>Making an environment with the Python of this computer</source>
        <translation>Legt eine Umgebung mit dem Python dieses Rechners an</translation>
    </message>
    <message>
        <source>Making the environment</source>
        <translation>Das Anlegen der Umgebung</translation>
    </message>
    <message>
        <source>No Python was found that could be used, and none could be loaded. Install Python {version} from python.org and press Repair, or choose an existing Python.</source>
        <translation>Es fand sich kein brauchbares Python, und keines ließ sich laden. Python {version} von python.org installieren und „Reparieren“ drücken oder ein vorhandenes Python wählen.</translation>
    </message>
</context>
<context>
    <name>environment.builder</name>
    <message>
        <source>Loading and unpacking packages: {done} of about {expected}</source>
        <translation>Lädt und entpackt Pakete: {done} von etwa {expected}</translation>
    </message>
</context>
<context>
    <name>environment.cache_row</name>
    <message>
        <source>What trainings have prepared of the cases, in {folder}. A training that goes on, and one on the same cases, finds it there. What was not used for longest is deleted when it becomes too large.</source>
        <translation>Was Trainings von den Fällen vorbereitet haben, in {folder}. Ein Training, das fortgesetzt wird, und eines an denselben Fällen findet es dort. Was am längsten nicht gebraucht wurde, wird gelöscht, wenn es zu viel wird.</translation>
    </message>
    <message>
        <source>It is being cleared.</source>
        <translation>Es wird geleert.</translation>
    </message>
    <message>
        <source>There is nothing to clear.</source>
        <translation>Es gibt nichts zu leeren.</translation>
    </message>
    <message>
        <source>Deletes what was prepared; the next training prepares its cases again. Models and jobs stay.</source>
        <translation>Löscht das Vorbereitete; das nächste Training bereitet seine Fälle wieder vor. Modelle und Aufträge bleiben.</translation>
    </message>
    <message>
        <source>Delete the prepared cases ({size})? The next training prepares its cases again.</source>
        <translation>Die vorbereiteten Fälle ({size}) löschen? Das nächste Training bereitet seine Fälle wieder vor.</translation>
    </message>
    <message>
        <source>Clear the cache</source>
        <translation>Vorbereitetes löschen</translation>
    </message>
    <message>
        <source>{size} were freed.</source>
        <translation>{size} wurden frei.</translation>
    </message>
</context>
<context>
    <name>environment.environment</name>
    <message>
        <source>{what}: tested, ok</source>
        <translation>{what}: getestet, in Ordnung</translation>
    </message>
    <message>
        <source>PyTorch is not set up yet. Set up takes it from the folder {wheels}, without Internet, and needs about {disk} in {folder}. Slicer itself is not changed.</source>
        <translation>PyTorch ist noch nicht eingerichtet. „Einrichten“ nimmt es aus dem Ordner {wheels}, ohne Internet, und braucht etwa {disk} in {folder}. Slicer selbst wird nicht verändert.</translation>
    </message>
    <message>
        <source>PyTorch for NVIDIA GPUs</source>
        <translation>PyTorch für NVIDIA-GPUs</translation>
    </message>
    <message>
        <source>PyTorch</source>
        <translation>PyTorch</translation>
    </message>
    <message>
        <source>{what} is not set up yet. Set up downloads about {download} and takes {disk} in {folder}. Slicer itself is not changed.</source>
        <translation>{what} ist noch nicht eingerichtet. „Einrichten“ lädt etwa {download} und belegt {disk} in {folder}. Slicer selbst wird nicht verändert.</translation>
    </message>
    <message>
        <source>{python} cannot be started: {error}. Press Test under Environment.</source>
        <translation>{python} lässt sich nicht starten: {error}. Unter „Umgebung“ auf „Testen“ drücken.</translation>
    </message>
    <message>
        <source>{folder} is in use ({error}). Stop the training that uses it, then remove it again.</source>
        <translation>{folder} wird benutzt ({error}). Das Training stoppen, das ihn benutzt, dann noch einmal entfernen.</translation>
    </message>
    <message>
        <source>PyTorch is being set up. Training can start when that is done.</source>
        <translation>PyTorch wird gerade eingerichtet. Danach kann das Training beginnen.</translation>
    </message>
    <message>
        <source>Stopped. What was loaded already is kept.</source>
        <translation>Gestoppt. Was schon geladen ist, bleibt.</translation>
    </message>
    <message>
        <source>The Python {path} is not there. Choose another one, or press Set up.</source>
        <translation>Das Python {path} ist nicht da. Ein anderes wählen oder „Einrichten“ drücken.</translation>
    </message>
    <message>
        <source>The environment is damaged: its Python is gone. Press Repair.</source>
        <translation>Die Umgebung ist beschädigt: Ihr Python fehlt. „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>PyTorch is not set up yet. Press Set up in the section Environment.</source>
        <translation>PyTorch ist noch nicht eingerichtet. Im Abschnitt „Umgebung“ auf „Einrichten“ drücken.</translation>
    </message>
    <message>
        <source>The Python {path} has not been tested. Press Test.</source>
        <translation>Das Python {path} wurde noch nicht getestet. „Testen“ drücken.</translation>
    </message>
    <message>
        <source>MedSegTrainer was updated to {version}. Press Test in the section Environment.</source>
        <translation>MedSegTrainer wurde auf {version} aktualisiert. Im Abschnitt „Umgebung“ auf „Testen“ drücken.</translation>
    </message>
    <message>
        <source>This version of MedSegTrainer needs other packages. Press Set up in the section Environment.</source>
        <translation>Diese Version von MedSegTrainer braucht andere Pakete. Im Abschnitt „Umgebung“ auf „Einrichten“ drücken.</translation>
    </message>
    <message>
        <source>The packages of {path} were changed since they were tested. Press Test, or Repair if it fails.</source>
        <translation>Die Pakete von {path} wurden seit dem Test geändert. „Testen“ drücken oder, wenn das scheitert, „Reparieren“.</translation>
    </message>
    <message>
        <source>The device {name} has not been tested. Press Test in the section Environment.</source>
        <translation>Das Gerät {name} wurde noch nicht getestet. Im Abschnitt „Umgebung“ auf „Testen“ drücken.</translation>
    </message>
    <message>
        <source>Setting up ended because the disk is full. Free some space, then press Repair.</source>
        <translation>Das Einrichten endete, weil der Datenträger voll ist. Platz schaffen, dann „Reparieren“ drücken.</translation>
    </message>
    <message>
        <source>Setting up was interrupted. Press Repair: what was loaded already is kept.</source>
        <translation>Das Einrichten wurde unterbrochen. „Reparieren“ drücken: Was schon geladen ist, bleibt.</translation>
    </message>
    <message>
        <source>PyTorch is being set up or tested. Wait for the end, or press Stop.</source>
        <translation>PyTorch wird gerade eingerichtet oder getestet. Das Ende abwarten oder „Stopp“ drücken.</translation>
    </message>
    <message>
        <source>Starting</source>
        <translation>Startet</translation>
    </message>
    <message>
        <source>{python} cannot be started: {error}. Install Slicer again.</source>
        <translation>{python} lässt sich nicht starten: {error}. Slicer neu installieren.</translation>
    </message>
</context>
<context>
    <name>environment.section</name>
    <message>
        <source>Stopping: the download that is under way is closed first.</source>
        <translation>Stoppt: Der laufende Download wird erst geschlossen.</translation>
    </message>
    <message>
        <source>PyTorch and all packages in {folder} will be deleted. Models and jobs stay. To train again, they must be downloaded again ({size}).</source>
        <translation>PyTorch und alle Pakete in {folder} werden gelöscht. Modelle und Trainings bleiben. Um wieder zu trainieren, müssen sie neu geladen werden ({size}).</translation>
    </message>
    <message>
        <source>Remove the environment</source>
        <translation>Die Umgebung entfernen</translation>
    </message>
    <message>
        <source>{names} is still running and needs these files. Stop it first, or wait for its end.</source>
        <translation>{names} läuft noch und braucht diese Dateien. Es zuerst stoppen oder sein Ende abwarten.</translation>
    </message>
    <message>
        <source>PyTorch is being set up or tested. Wait for the end, or press Stop.</source>
        <translation>PyTorch wird gerade eingerichtet oder getestet. Das Ende abwarten oder „Stopp“ drücken.</translation>
    </message>
    <message>
        <source>from the folder of wheels, without Internet</source>
        <translation>aus dem Wheel-Ordner, ohne Internet</translation>
    </message>
    <message>
        <source>about {size} to download</source>
        <translation>etwa {size} zu laden</translation>
    </message>
    <message>
        <source>There is no Python to test yet.</source>
        <translation>Es gibt noch kein Python zu testen.</translation>
    </message>
    <message>
        <source>Makes a Python of its own with PyTorch ({source}) and tests it.</source>
        <translation>Legt ein eigenes Python mit PyTorch an ({source}) und testet es.</translation>
    </message>
    <message>
        <source>Makes everything anew ({source}) and tests it.</source>
        <translation>Legt alles neu an ({source}) und testet es.</translation>
    </message>
    <message>
        <source>Runs one step of a training on the chosen device.</source>
        <translation>Führt einen Schritt eines Trainings auf dem gewählten Gerät aus.</translation>
    </message>
    <message>
        <source>Deletes PyTorch and all packages that were loaded; asks first.</source>
        <translation>Löscht PyTorch und alle geladenen Pakete; fragt vorher.</translation>
    </message>
    <message>
        <source>the fastest there is</source>
        <translation>das schnellste vorhandene</translation>
    </message>
    <message>
        <source>not found by the test</source>
        <translation>vom Test nicht gefunden</translation>
    </message>
    <message>
        <source>What trainings run on. Another choice is tested at once.</source>
        <translation>Worauf Trainings laufen. Eine andere Wahl wird sofort getestet.</translation>
    </message>
    <message>
        <source>An interpreter (python.exe, or bin/python) that has PyTorch, MONAI and the other packages of requirements.txt; used instead of the environment made here. Leave it empty otherwise.</source>
        <translation>Ein Interpreter (python.exe oder bin/python), der PyTorch, MONAI und die anderen Pakete von requirements.txt hat; er wird statt der hier angelegten Umgebung benutzt. Sonst leer lassen.</translation>
    </message>
    <message>
        <source>For computers without Internet: a folder with all packages as wheels (.whl), filled on another computer as the manual says under &apos;A computer without Internet&apos;. Set up and Repair then take them from there and load nothing. Their hashes are checked, but not that of PyTorch, whose builds differ. Leave it empty otherwise.</source>
        <translation>Für Rechner ohne Internet: ein Ordner mit allen Paketen als Wheels (.whl), auf einem anderen Rechner gefüllt, wie es im Handbuch unter „A computer without Internet“ steht. „Einrichten“ und „Reparieren“ nehmen sie dann von dort und laden nichts. Ihre Hashes werden geprüft, der von PyTorch nicht, dessen Fassungen sich unterscheiden. Sonst leer lassen.</translation>
    </message>
    <message>
        <source>Ends this. What was downloaded already is kept for the next time.</source>
        <translation>Beendet dies. Was schon geladen ist, bleibt für das nächste Mal.</translation>
    </message>
</context>
<context>
    <name>environment.wheel_folder</name>
    <message>
        <source>{names} and {count} more, which the log names</source>
        <translation>{names} und {count} weitere, die das Protokoll nennt</translation>
    </message>
    <message>
        <source>The folder of wheels {folder} lacks what Python {version} on this system needs: {names}. Fill it on a computer with the same system and Python {version} (the manual says how: &apos;A computer without Internet&apos;), then press Repair.</source>
        <translation>Dem Wheel-Ordner {folder} fehlt, was Python {version} auf diesem System braucht: {names}. Ihn auf einem Rechner mit demselben System und Python {version} füllen (das Handbuch sagt wie: „A computer without Internet“), dann „Reparieren“ drücken.</translation>
    </message>
</context>
<context>
    <name>evaluate.run</name>
    <message>
        <source>No segment has the same name in both: {prediction} has {first}, {reference} has {second}. Rename the segments that mean the same.</source>
        <translation>Kein Segment heißt in beiden gleich: {prediction} hat {first}, {reference} hat {second}. Die Segmente umbenennen, die dasselbe meinen.</translation>
    </message>
    <message>
        <source>no segment</source>
        <translation>kein Segment</translation>
    </message>
    <message>
        <source>The evaluation ended without a word. Test the environment in section 5, then try again; {log} may tell more.</source>
        <translation>Die Auswertung endete ohne ein Wort. Die Umgebung in Abschnitt 5 testen, dann noch einmal versuchen; {log} sagt vielleicht mehr.</translation>
    </message>
    <message>
        <source>{prediction} against {reference}.</source>
        <translation>{prediction} gegen {reference}.</translation>
    </message>
    <message>
        <source>prediction</source>
        <translation>Vorhersage</translation>
    </message>
    <message>
        <source>reference</source>
        <translation>Referenz</translation>
    </message>
    <message>
        <source>Only in the {side}, not compared: {names}.</source>
        <translation>Nur in der {side}, nicht verglichen: {names}.</translation>
    </message>
</context>
<context>
    <name>evaluate.section</name>
    <message>
        <source>Compares segments of the same name: Dice, distances, volumes.</source>
        <translation>Vergleicht Segmente desselben Namens: Dice, Abstände, Volumina.</translation>
    </message>
    <message>
        <source>Stops, without a result.</source>
        <translation>Stoppt, ohne Ergebnis.</translation>
    </message>
    <message>
        <source>comparing</source>
        <translation>vergleicht</translation>
    </message>
    <message>
        <source>Opens the report with pictures in the browser.</source>
        <translation>Öffnet den Bericht mit Bildern im Browser.</translation>
    </message>
    <message>
        <source>The report was removed with its job.</source>
        <translation>Der Bericht wurde mit seinem Lauf entfernt.</translation>
    </message>
    <message>
        <source>The scene is being closed.</source>
        <translation>Die Szene wird geschlossen.</translation>
    </message>
    <message>
        <source>An evaluation is running.</source>
        <translation>Eine Auswertung läuft.</translation>
    </message>
    <message>
        <source>Choose a prediction and a reference, such as the segmentation that you made by hand.</source>
        <translation>Eine Vorhersage und eine Referenz wählen, etwa die von Hand gezeichnete Segmentierung.</translation>
    </message>
    <message>
        <source>Choose two different segmentations.</source>
        <translation>Zwei verschiedene Segmentierungen wählen.</translation>
    </message>
    <message>
        <source>Choose the volume that was segmented.</source>
        <translation>Das Volumen wählen, das segmentiert wurde.</translation>
    </message>
    <message>
        <source>The evaluation was cancelled.</source>
        <translation>Die Auswertung wurde abgebrochen.</translation>
    </message>
    <message>
        <source>The report could not be opened: {path}. Open it with a browser.</source>
        <translation>Der Bericht ließ sich nicht öffnen: {path}. Ihn mit einem Browser öffnen.</translation>
    </message>
    <message>
        <source>{prediction} evaluation</source>
        <translation>{prediction} Auswertung</translation>
    </message>
    <message>
        <source>Not defined: the segment is empty on one side.</source>
        <translation>Nicht bestimmt: Das Segment ist auf einer Seite leer.</translation>
    </message>
</context>
<context>
    <name>jobs.end_notice</name>
    <message>
        <source>This desktop shows no notifications of programs.</source>
        <translation>Dieser Desktop zeigt keine Nachrichten von Programmen.</translation>
    </message>
    <message>
        <source>Shows a notification of the desktop, whatever program you work in.</source>
        <translation>Zeigt eine Nachricht auf dem Desktop, in welchem Programm auch gearbeitet wird.</translation>
    </message>
</context>
<context>
    <name>jobs.event_text</name>
    <message>
        <source>the model as it came: Dice {dice}</source>
        <translation>das Modell, wie es kam: Dice {dice}</translation>
    </message>
    <message>
        <source>epoch {epoch}: Dice {dice}</source>
        <translation>Epoche {epoch}: Dice {dice}</translation>
    </message>
    <message>
        <source>goes on after epoch {epoch}</source>
        <translation>geht nach Epoche {epoch} weiter</translation>
    </message>
    <message>
        <source>mean</source>
        <translation>Mittel</translation>
    </message>
    <message>
        <source>Dice</source>
        <translation>Dice</translation>
    </message>
    <message>
        <source>less than a minute</source>
        <translation>weniger als eine Minute</translation>
    </message>
    <message>
        <source>{minutes} min</source>
        <translation>{minutes} min</translation>
    </message>
    <message>
        <source>{hours} h {minutes:02d} min</source>
        <translation>{hours} h {minutes:02d} min</translation>
    </message>
    <message>
        <source>today {clock}</source>
        <translation>heute {clock}</translation>
    </message>
    <message>
        <source>{size:.1f} GB</source>
        <translation>{size:.1f} GB</translation>
    </message>
    <message>
        <source>{size:.0f} MB</source>
        <translation>{size:.0f} MB</translation>
    </message>
    <message>
        <source>not started</source>
        <translation>nicht gestartet</translation>
    </message>
    <message>
        <source>starting</source>
        <translation>startet</translation>
    </message>
    <message>
        <source>running</source>
        <translation>läuft</translation>
    </message>
    <message>
        <source>done</source>
        <translation>fertig</translation>
    </message>
    <message>
        <source>stopped</source>
        <translation>gestoppt</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>gescheitert</translation>
    </message>
    <message>
        <source>broken off</source>
        <translation>abgebrochen</translation>
    </message>
    <message>
        <source>started from {name}</source>
        <translation>ausgegangen von {name}</translation>
    </message>
    <message>
        <source>started from {name}: {before:.2f} -&gt; {now:.2f}</source>
        <translation>ausgegangen von {name}: {before:.2f} -&gt; {now:.2f}</translation>
    </message>
    <message>
        <source>Dice on the same held-out cases: {figures}</source>
        <translation>Dice an denselben Validierungsfällen: {figures}</translation>
    </message>
    <message>
        <source>{now:.2f}, was {before:.2f}</source>
        <translation>{now:.2f}, vorher {before:.2f}</translation>
    </message>
    <message>
        <source>Starting: PyTorch is being loaded ...</source>
        <translation>Startet: PyTorch wird geladen ...</translation>
    </message>
    <message>
        <source>epoch {epoch}</source>
        <translation>Epoche {epoch}</translation>
    </message>
    <message>
        <source>first epoch</source>
        <translation>erste Epoche</translation>
    </message>
    <message>
        <source>until you stop it</source>
        <translation>bis zum Anhalten</translation>
    </message>
    <message>
        <source>{time} left</source>
        <translation>noch {time}</translation>
    </message>
    <message>
        <source>Working</source>
        <translation>Arbeitet</translation>
    </message>
    <message>
        <source>, after {epoch} epochs</source>
        <translation>, nach {epoch} Epochen</translation>
    </message>
    <message>
        <source>{name} could not be started. Last words: {words}</source>
        <translation>{name} ließ sich nicht starten. Letzte Worte: {words}</translation>
    </message>
    <message>
        <source>{name} broke off without a word: perhaps the computer was switched off, or memory ran out.</source>
        <translation>{name} brach ohne ein Wort ab: Vielleicht wurde der Rechner ausgeschaltet, oder der Speicher ging aus.</translation>
    </message>
    <message>
        <source>What it had learned is kept: press Resume.</source>
        <translation>Das Gelernte ist aufbewahrt: „Fortsetzen“ drücken.</translation>
    </message>
    <message>
        <source>Press Resume to start it again.</source>
        <translation>„Fortsetzen“ drücken, um es neu zu starten.</translation>
    </message>
    <message>
        <source>{name} was prepared and never started. Press Resume to start it.</source>
        <translation>{name} wurde vorbereitet und nie gestartet. „Fortsetzen“ drücken, um es zu starten.</translation>
    </message>
    <message>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <source> ({millions:.1f} M weights)</source>
        <translation> ({millions:.1f} Mio. Gewichte)</translation>
    </message>
    <message>
        <source> at {size} mm</source>
        <translation> bei {size} mm</translation>
    </message>
    <message>
        <source>A {dims} {network}{count}{at} on {device}.</source>
        <translation>Ein {dims}-{network}{count}{at} auf {device}.</translation>
    </message>
</context>
<context>
    <name>jobs.job_bar</name>
    <message>
        <source>, best Dice {dice:.2f}</source>
        <translation>, bester Dice {dice:.2f}</translation>
    </message>
</context>
<context>
    <name>jobs.job_list</name>
    <message>
        <source>{path} is no job of this list. Remove it with the file manager if you want to.</source>
        <translation>{path} ist kein Training dieser Liste. Es gegebenenfalls mit dem Dateimanager entfernen.</translation>
    </message>
    <message>
        <source>{name} is still running. Stop it first, then remove it.</source>
        <translation>{name} läuft noch. Es zuerst stoppen, dann entfernen.</translation>
    </message>
    <message>
        <source>{name} could not be removed: {error}. Close whatever shows its files, such as the report, and remove it again.</source>
        <translation>{name} ließ sich nicht entfernen: {error}. Schließen, was seine Dateien zeigt, etwa den Bericht, und noch einmal entfernen.</translation>
    </message>
</context>
<context>
    <name>jobs.job_table</name>
    <message>
        <source>Training</source>
        <translation>Training</translation>
    </message>
    <message>
        <source>State</source>
        <translation>Zustand</translation>
    </message>
    <message>
        <source>Dice</source>
        <translation>Dice</translation>
    </message>
    <message>
        <source>Classes</source>
        <translation>Klassen</translation>
    </message>
    <message>
        <source>Started</source>
        <translation>Gestartet</translation>
    </message>
    <message>
        <source>{name} ({n} versions)</source>
        <translation>{name} ({n} Versionen)</translation>
    </message>
    <message>
        <source>removed, {size}</source>
        <translation>entfernt, {size}</translation>
    </message>
    <message>
        <source>deleted in {days} days</source>
        <translation>wird in {days} Tagen gelöscht</translation>
    </message>
</context>
<context>
    <name>jobs.job_trash</name>
    <message>
        <source>{folder} is a link to another folder. Remove the link: a folder is made in its place.</source>
        <translation>{folder} ist ein Verweis auf einen anderen Ordner. Den Verweis entfernen: An seiner Stelle wird ein Ordner angelegt.</translation>
    </message>
    <message>
        <source>{name} could not be brought back: {error}. It lies in {place}.</source>
        <translation>{name} ließ sich nicht zurückholen: {error}. Es liegt in {place}.</translation>
    </message>
    <message>
        <source>{name} could not be deleted: {error}. What is left of it lies in {place}; the next start of Slicer tries again.</source>
        <translation>{name} ließ sich nicht löschen: {error}. Was davon übrig ist, liegt in {place}; der nächste Start von Slicer versucht es noch einmal.</translation>
    </message>
</context>
<context>
    <name>jobs.log_view</name>
    <message>
        <source>What the training tells, line by line.</source>
        <translation>Was das Training meldet, Zeile für Zeile.</translation>
    </message>
    <message>
        <source>log:</source>
        <translation>Protokoll:</translation>
    </message>
</context>
<context>
    <name>jobs.undo_offer</name>
    <message>
        <source>{name} was removed. It is kept for {days} days, at the end of the list of trainings.</source>
        <translation>{name} wurde entfernt. Es bleibt {days} Tage aufbewahrt, am Ende der Liste der Trainings.</translation>
    </message>
    <message>
        <source>It is not in the trash any more.</source>
        <translation>Es ist nicht mehr im Papierkorb.</translation>
    </message>
</context>
<context>
    <name>models.model_card</name>
    <message>
        <source>The model {path} is not there any more. Choose another one, or train it again.</source>
        <translation>Das Modell {path} ist nicht mehr da. Ein anderes wählen oder es neu trainieren.</translation>
    </message>
    <message>
        <source>The job {name} has made no model yet. Train it first.</source>
        <translation>{name} hat noch kein Modell hervorgebracht. Es zuerst trainieren.</translation>
    </message>
    <message>
        <source>{path} is an nnU-Net model that cannot be used here: {reason}.</source>
        <translation>{path} ist ein Modell von nnU-Net, das hier nicht verwendet werden kann: {reason}.</translation>
    </message>
    <message>
        <source>{path} holds no model. Choose a folder with model.json and weights.safetensors, a model folder of nnU-Net, or the zip file of one.</source>
        <translation>{path} enthält kein Modell. Einen Ordner mit model.json und weights.safetensors, einen Modellordner von nnU-Net oder die Zip-Datei von einem wählen.</translation>
    </message>
    <message>
        <source>{path} is a zip file without a model. Choose the zip of a model folder.</source>
        <translation>{path} ist eine Zip-Datei ohne Modell. Die Zip-Datei eines Modellordners wählen.</translation>
    </message>
    <message>
        <source>{path} is no model: it is not a zip file, or a damaged one. Choose a model folder or its zip.</source>
        <translation>{path} ist kein Modell: Es ist keine Zip-Datei oder eine beschädigte. Einen Modellordner oder seine Zip-Datei wählen.</translation>
    </message>
    <message>
        <source>{path} has model format {found}, and this version reads {known}. Update MedSegTrainer.</source>
        <translation>{path} hat das Modellformat {found}, und diese Version liest {known}. MedSegTrainer aktualisieren.</translation>
    </message>
    <message>
        <source>{path} cannot be read: {reason}. Choose a model that can be reached.</source>
        <translation>{path} lässt sich nicht lesen: {reason}. Ein Modell wählen, das erreichbar ist.</translation>
    </message>
    <message>
        <source>{path} is no model of MedSegTrainer: its description is damaged. Choose another one.</source>
        <translation>{path} ist kein Modell von MedSegTrainer: Seine Beschreibung ist beschädigt. Ein anderes wählen.</translation>
    </message>
    <message>
        <source>and {n} more</source>
        <translation>und {n} weitere</translation>
    </message>
    <message>
        <source>Classes and their Dice:</source>
        <translation>Klassen und ihr Dice:</translation>
    </message>
    <message>
        <source>Channels: {names}</source>
        <translation>Kanäle: {names}</translation>
    </message>
    <message>
        <source>It sees voxels of {x:.3g} x {y:.3g} x {z:.3g} mm.</source>
        <translation>Es sieht Voxel von {x:.3g} x {y:.3g} x {z:.3g} mm.</translation>
    </message>
    <message>
        <source>Folder or file: {path}</source>
        <translation>Ordner oder Datei: {path}</translation>
    </message>
    <message>
        <source>today {time}</source>
        <translation>heute {time}</translation>
    </message>
    <message>
        <source>yesterday {time}</source>
        <translation>gestern {time}</translation>
    </message>
    <message>
        <source>How good it is was not told by {program}. Check its results.</source>
        <translation>Wie gut es ist, hat {program} nicht mitgeteilt. Die Ergebnisse prüfen.</translation>
    </message>
    <message>
        <source>How good it is was not measured: all volumes were trained on. Check its results.</source>
        <translation>Wie gut es ist, wurde nicht gemessen: An allen Volumina wurde trainiert. Seine Ergebnisse prüfen.</translation>
    </message>
    <message>
        <source>Mean Dice {dice:.2f} on {n} volumes it was not trained on.</source>
        <translation>Mittlerer Dice {dice:.2f} an {n} Volumina, an denen nicht trainiert wurde.</translation>
    </message>
    <message>
        <source>Mean Dice {dice:.2f} on one volume it was not trained on.</source>
        <translation>Mittlerer Dice {dice:.2f} an einem Volumen, an dem nicht trainiert wurde.</translation>
    </message>
    <message>
        <source>Check its results with care.</source>
        <translation>Seine Ergebnisse sorgfältig prüfen.</translation>
    </message>
    <message>
        <source>Trained {when} on {n} volumes</source>
        <translation>{when} an {n} Volumina trainiert</translation>
    </message>
    <message>
        <source>Trained with {program} on {n} volumes</source>
        <translation>Mit {program} an {n} Volumina trainiert</translation>
    </message>
    <message>
        <source>Trained with {program}</source>
        <translation>Mit {program} trainiert</translation>
    </message>
    <message>
        <source>images of {x} x {y} pixels</source>
        <translation>Bilder von {x} x {y} Pixeln</translation>
    </message>
    <message>
        <source>{x:.3g} x {y:.3g} x {z:.3g} mm</source>
        <translation>{x:.3g} x {y:.3g} x {z:.3g} mm</translation>
    </message>
    <message>
        <source>Started from {models}.</source>
        <translation>Ausgegangen von {models}.</translation>
    </message>
    <message>
        <source>, that from </source>
        <translation>, dieses von </translation>
    </message>
    <message>
        <source>1 volume</source>
        <translation>1 Volumen</translation>
    </message>
    <message>
        <source>{n} volumes</source>
        <translation>{n} Volumina</translation>
    </message>
    <message>
        <source>Dice {dice:.2f}</source>
        <translation>Dice {dice:.2f}</translation>
    </message>
</context>
<context>
    <name>models.model_chooser</name>
    <message>
        <source>Model folder...</source>
        <translation>Modellordner...</translation>
    </message>
    <message>
        <source>Model file (zip)...</source>
        <translation>Modelldatei (Zip)...</translation>
    </message>
    <message>
        <source>What was trained here, newest first, and models that were used lately.</source>
        <translation>Was hier trainiert wurde, das Neueste zuerst, und zuletzt benutzte Modelle.</translation>
    </message>
    <message>
        <source>Choose the folder of a model</source>
        <translation>Den Ordner eines Modells wählen</translation>
    </message>
    <message>
        <source>Models (*.zip)</source>
        <translation>Modelle (*.zip)</translation>
    </message>
    <message>
        <source>Choose the zip file of a model</source>
        <translation>Die Zip-Datei eines Modells wählen</translation>
    </message>
</context>
<context>
    <name>models.model_list</name>
    <message>
        <source>{name} (no model)</source>
        <translation>{name} (kein Modell)</translation>
    </message>
    <message>
        <source>Dice {dice:.2f}</source>
        <translation>Dice {dice:.2f}</translation>
    </message>
</context>
<context>
    <name>samples.sample_data</name>
    <message>
        <source>MedSegTrainer</source>
        <translation>MedSegTrainer</translation>
    </message>
    <message>
        <source>{file} is not the archive of hippocampus volumes. Remove it and download it again.</source>
        <translation>{file} ist nicht das Archiv der Hippocampus-Volumina. Es entfernen und noch einmal herunterladen.</translation>
    </message>
    <message>
        <source>{file} is not a whole archive. Remove it where it is still there, and download it again.</source>
        <translation>{file} ist kein vollständiges Archiv. Es entfernen, wo es noch da ist, und noch einmal herunterladen.</translation>
    </message>
    <message>
        <source>{name} cannot be read. Download the data again.</source>
        <translation>{name} lässt sich nicht lesen. Die Daten noch einmal herunterladen.</translation>
    </message>
    <message>
        <source>This sample data could not be loaded: {error}</source>
        <translation>Diese Beispieldaten ließen sich nicht laden: {error}</translation>
    </message>
    <message>
        <source>Loaded {names}; the last one has no segmentation.</source>
        <translation>{names} geladen; das letzte hat keine Segmentierung.</translation>
    </message>
</context>
<context>
    <name>scene.case_checks</name>
    <message>
        <source>No volume.</source>
        <translation>Kein Volumen.</translation>
    </message>
    <message>
        <source>Choose the volume of this case.</source>
        <translation>Das Volumen dieses Falls wählen.</translation>
    </message>
    <message>
        <source>Segment it in the Segment Editor, choose its segmentation, or take the check mark away.</source>
        <translation>Es im Segment-Editor segmentieren, seine Segmentierung wählen oder das Häkchen wegnehmen.</translation>
    </message>
    <message>
        <source>No segmentation belongs to this volume.</source>
        <translation>Zu diesem Volumen gehört keine Segmentierung.</translation>
    </message>
    <message>
        <source>Segment it in the Segment Editor, or take the check mark away.</source>
        <translation>Es im Segment-Editor segmentieren oder das Häkchen wegnehmen.</translation>
    </message>
    <message>
        <source>The segmentation has no segments.</source>
        <translation>Die Segmentierung hat keine Segmente.</translation>
    </message>
    <message>
        <source>Choose a class that is here, or take the check mark away.</source>
        <translation>Eine Klasse wählen, die hier vorkommt, oder das Häkchen wegnehmen.</translation>
    </message>
    <message>
        <source>Nothing of the chosen classes was drawn here.</source>
        <translation>Von den gewählten Klassen ist hier nichts gezeichnet.</translation>
    </message>
    <message>
        <source>If they are there, segment them, or take the check mark away.</source>
        <translation>Sind sie da, sie segmentieren oder das Häkchen wegnehmen.</translation>
    </message>
    <message>
        <source>All segments are empty: they count as looked for and not there. Is that so?</source>
        <translation>Alle Segmente sind leer: Sie gelten als gesucht und nicht da. Ist das so?</translation>
    </message>
    <message>
        <source>All segments are empty, so no slice was drawn.</source>
        <translation>Alle Segmente sind leer, also ist keine Schicht gezeichnet.</translation>
    </message>
    <message>
        <source>Move the ROI, or choose where it was drawn with a click in the column &apos;Drawn&apos;.</source>
        <translation>Die ROI verschieben oder mit einem Klick in der Spalte „Zeichnung“ wählen, wo gezeichnet ist.</translation>
    </message>
    <message>
        <source>Nothing is drawn inside the ROI {name}.</source>
        <translation>In der ROI {name} ist nichts gezeichnet.</translation>
    </message>
    <message>
        <source>{percent} % of what is drawn lies outside of the ROI, and is not learned.</source>
        <translation>{percent} % des Gezeichneten liegen außerhalb der ROI und werden nicht gelernt.</translation>
    </message>
    <message>
        <source>Is it the segmentation of another volume, or under another transform?</source>
        <translation>Ist es die Segmentierung eines anderen Volumens oder unter einer anderen Transformation?</translation>
    </message>
    <message>
        <source>The segments lie outside of the volume.</source>
        <translation>Die Segmente liegen außerhalb des Volumens.</translation>
    </message>
    <message>
        <source>A part of the segments lies outside of the volume, and is not learned.</source>
        <translation>Ein Teil der Segmente liegt außerhalb des Volumens und wird nicht gelernt.</translation>
    </message>
    <message>
        <source>Segments overlap, and each is learned whole: {pairs}.</source>
        <translation>Segmente überlappen, und jedes wird ganz gelernt: {pairs}.</translation>
    </message>
    <message>
        <source>&apos;{first}&apos; and &apos;{second}&apos; ({ml} ml)</source>
        <translation>„{first}“ und „{second}“ ({ml} ml)</translation>
    </message>
    <message>
        <source>Segments overlap; the later class wins: {pairs}.</source>
        <translation>Segmente überlappen; die spätere Klasse gewinnt: {pairs}.</translation>
    </message>
    <message>
        <source>&apos;{second}&apos; over &apos;{first}&apos; ({ml} ml)</source>
        <translation>„{second}“ über „{first}“ ({ml} ml)</translation>
    </message>
    <message>
        <source>Segments overlap in {case} alone, by {ml} ml: a slip of the pen?</source>
        <translation>Nur in {case} überlappen Segmente, um {ml} ml: ein Ausrutscher?</translation>
    </message>
    <message>
        <source>Erase it there in the Segment Editor (Masking: Overwrite other segments), or let the later class win. As it is, all classes are learned as overlapping ones.</source>
        <translation>Es dort im Segment-Editor löschen (Maskierung: andere Segmente überschreiben) oder die spätere Klasse gewinnen lassen. So, wie es ist, werden alle Klassen als überlappende gelernt.</translation>
    </message>
    <message>
        <source>Segments overlap in {count} cases: a voxel can have several classes, and each is learned by itself.</source>
        <translation>In {count} Fällen überlappen Segmente: Ein Voxel kann mehrere Klassen haben, und jede wird für sich gelernt.</translation>
    </message>
    <message>
        <source>Segments overlap in {case}: a voxel can have several classes, and each is learned by itself.</source>
        <translation>In {case} überlappen Segmente: Ein Voxel kann mehrere Klassen haben, und jede wird für sich gelernt.</translation>
    </message>
    <message>
        <source>Hidden in the views, and learned all the same: {names}.</source>
        <translation>In den Ansichten ausgeblendet und dennoch gelernt: {names}.</translation>
    </message>
    <message>
        <source>Leave the class out if it is not to be learned.</source>
        <translation>Die Klasse auslassen, wenn sie nicht gelernt werden soll.</translation>
    </message>
    <message>
        <source>{node} is used in several rows.</source>
        <translation>{node} kommt in mehreren Zeilen vor.</translation>
    </message>
    <message>
        <source>Keep one of them.</source>
        <translation>Eine davon behalten.</translation>
    </message>
    <message>
        <source>Has {count} volumes, and other cases have {usual}.</source>
        <translation>Hat {count} Volumina, andere Fälle haben {usual}.</translation>
    </message>
    <message>
        <source>Give every case the same kinds of volumes in the same order.</source>
        <translation>Jedem Fall Volumina derselben Art in derselben Reihenfolge geben.</translation>
    </message>
    <message>
        <source>&apos;{name}&apos; was looked for and is in no case.</source>
        <translation>„{name}“ wurde gesucht und ist in keinem Fall.</translation>
    </message>
    <message>
        <source>&apos;{name}&apos; is drawn in no case.</source>
        <translation>„{name}“ ist in keinem Fall gezeichnet.</translation>
    </message>
    <message>
        <source>Draw it in one, or leave the class out.</source>
        <translation>Sie in einem zeichnen oder die Klasse weglassen.</translation>
    </message>
    <message>
        <source>Spelled differently, and taken for one class: {names}.</source>
        <translation>Verschieden geschrieben und für eine Klasse genommen: {names}.</translation>
    </message>
    <message>
        <source>{names}: the name does not say what it is, and segments are matched by their names.</source>
        <translation>{names}: Der Name sagt nicht, was es ist, und Segmente werden nach ihren Namen zugeordnet.</translation>
    </message>
    <message>
        <source>Name the segments after the structures, the same in every case.</source>
        <translation>Die Segmente nach den Strukturen benennen, in jedem Fall gleich.</translation>
    </message>
</context>
<context>
    <name>scene.corrected_slices</name>
    <message>
        <source>The volume {name} has other voxels than when the model was applied. Apply it again.</source>
        <translation>Das Volumen {name} hat andere Voxel als bei der Anwendung des Modells. Es noch einmal anwenden.</translation>
    </message>
    <message>
        <source>{name} has surfaces in place of voxels: which slices were corrected cannot be told.</source>
        <translation>{name} hat Oberflächen anstelle von Voxeln: Welche Schichten verbessert sind, ist nicht zu erkennen.</translation>
    </message>
    <message>
        <source>{name} has other voxels than its volume, or lies under another transform: which slices were corrected cannot be told.</source>
        <translation>{name} hat andere Voxel als sein Volumen oder liegt unter einer anderen Transformation: Welche Schichten verbessert sind, ist nicht zu erkennen.</translation>
    </message>
</context>
<context>
    <name>scene.export_cases</name>
    <message>
        <source>{folder} is not empty. Choose another folder.</source>
        <translation>{folder} ist nicht leer. Einen anderen Ordner wählen.</translation>
    </message>
    <message>
        <source>No case is chosen. Add a volume with its segmentation, and set its check mark.</source>
        <translation>Kein Fall ist gewählt. Ein Volumen mit seiner Segmentierung hinzufügen und sein Häkchen setzen.</translation>
    </message>
    <message>
        <source>No class is chosen. Set the check mark of at least one.</source>
        <translation>Keine Klasse ist gewählt. Mindestens ein Häkchen setzen.</translation>
    </message>
    <message>
        <source>{case} comes from a folder, and &apos;{name}&apos; can be neither left out nor merged there. Load its files into the scene, or take its check mark away.</source>
        <translation>{case} stammt aus einem Ordner, und „{name}“ kann dort weder ausgelassen noch zusammengefasst werden. Seine Dateien in die Szene laden oder sein Häkchen wegnehmen.</translation>
    </message>
    <message>
        <source>In {first} {one} is the value of voxels that nobody labelled, and in {second} {other}: they cannot be trained together. Take the check marks of one folder away.</source>
        <translation>In {first} ist {one} der Wert der Voxel, die niemand gelabelt hat, und in {second} {other}: Sie lassen sich nicht zusammen trainieren. Die Häkchen eines der Ordner wegnehmen.</translation>
    </message>
    <message>
        <source>{case} comes from a folder where {value} is the value of voxels that nobody labelled, which cases of the scene cannot have. Take its check mark away.</source>
        <translation>{case} kommt aus einem Ordner, in dem {value} der Wert der Voxel ist, die niemand gelabelt hat; Fälle der Szene können ihn nicht haben. Das Häkchen wegnehmen.</translation>
    </message>
</context>
<context>
    <name>scene.export_labels</name>
    <message>
        <source>Label values must lie between 0 and {most}.</source>
        <translation>Labelwerte müssen zwischen 0 und {most} liegen.</translation>
    </message>
    <message>
        <source>&apos;{first}&apos; and &apos;{second}&apos; overlap ({ml} ml). Erase the overlap in the Segment Editor (Masking: Overwrite other segments), merge the two, or choose what becomes of it at &apos;Where segments overlap&apos;.</source>
        <translation>„{first}“ und „{second}“ überlappen ({ml} ml). Die Überlappung im Segment-Editor löschen (Maskierung: andere Segmente überschreiben), beide zusammenfassen oder bei „Wo Segmente überlappen“ wählen, was daraus wird.</translation>
    </message>
    <message>
        <source>{count} more pairs overlap.</source>
        <translation>{count} weitere Paare überlappen.</translation>
    </message>
</context>
<context>
    <name>scene.found_volume</name>
    <message>
        <source>The volume {name} has other voxels than when the model was applied, so that the result does not fit. Apply the model again; where it is a sequence, show that frame again and import the result, which is kept.</source>
        <translation>Das Volumen {name} hat andere Voxel als bei der Anwendung des Modells, sodass das Ergebnis nicht passt. Das Modell noch einmal anwenden; bei einer Sequenz dasselbe Bild wieder zeigen und das Ergebnis importieren, das aufbewahrt ist.</translation>
    </message>
    <message>
        <source>The volume {name} is not in the scene. The result is kept: load the volume, then import it.</source>
        <translation>Das Volumen {name} ist nicht in der Szene. Das Ergebnis ist aufbewahrt: das Volumen laden, dann importieren.</translation>
    </message>
</context>
<context>
    <name>scene.import_segments</name>
    <message>
        <source>{name} is made of surfaces, which cannot take voxels. Choose a new segmentation, or make the binary labelmap its source in the Segmentations module.</source>
        <translation>{name} besteht aus Oberflächen, die keine Voxel aufnehmen. Eine neue Segmentierung wählen oder im Modul „Segmentierungen“ die binäre Labelmap zur Quelle machen.</translation>
    </message>
</context>
<context>
    <name>scene.label_files</name>
    <message>
        <source>{path} cannot be read. Is the file there and complete?</source>
        <translation>{path} lässt sich nicht lesen. Ist die Datei da und vollständig?</translation>
    </message>
    <message>
        <source>{path} is no label map: it needs one whole number a voxel.</source>
        <translation>{path} ist keine Labelmap: Sie braucht eine ganze Zahl je Voxel.</translation>
    </message>
    <message>
        <source>{path} has {count} layers, and does not say which segments are in them. Save it as a segmentation.</source>
        <translation>{path} hat {count} Ebenen und sagt nicht, welche Segmente darin sind. Es als Segmentierung speichern.</translation>
    </message>
</context>
<context>
    <name>scene.labelled_region</name>
    <message>
        <source>Drawn in slices, and no slice has anything in it. Draw one, or say that it is done everywhere.</source>
        <translation>In Schichten gezeichnet, und in keiner ist etwas. Eine zeichnen oder sagen, dass überall gezeichnet ist.</translation>
    </message>
    <message>
        <source>Which slices were drawn cannot be told from what is there: axial, coronal or sagittal ones. Choose it with a click in the column &apos;Drawn&apos;.</source>
        <translation>Welche Schichten gezeichnet sind, ist nicht zu erkennen: axiale, koronale oder sagittale. Es mit einem Klick in der Spalte „Zeichnung“ wählen.</translation>
    </message>
    <message>
        <source>Which slices were corrected cannot be told from what was changed: axial, coronal or sagittal ones. Choose it with a click in the column &apos;Drawn&apos;.</source>
        <translation>Welche Schichten verbessert sind, ist an den Änderungen nicht zu erkennen: axiale, koronale oder sagittale. Es mit einem Klick in der Spalte „Zeichnung“ wählen.</translation>
    </message>
    <message>
        <source>Nobody has corrected this result of a model: it would only learn what it says already. Correct some slices in the Segment Editor, or look at all of it and say so (&apos;I looked at all of it&apos;).</source>
        <translation>Niemand hat dieses Ergebnis eines Modells verbessert: Es würde nur lernen, was es schon sagt. Einige Schichten im Segment-Editor verbessern, oder alles ansehen und das sagen („Ich habe alles angesehen“).</translation>
    </message>
    <message>
        <source>The ROI inside of which it was drawn is gone. Choose another with a click in the column &apos;Drawn&apos;.</source>
        <translation>Die ROI, in der gezeichnet ist, gibt es nicht mehr. Mit einem Klick in der Spalte „Zeichnung“ eine andere wählen.</translation>
    </message>
    <message>
        <source>The ROI {name} has no size. Place it in the views first.</source>
        <translation>Die ROI {name} hat keine Größe. Sie zuerst in den Ansichten platzieren.</translation>
    </message>
    <message>
        <source>The ROI {roi} lies outside of the volume {volume}.</source>
        <translation>Die ROI {roi} liegt außerhalb des Volumens {volume}.</translation>
    </message>
</context>
<context>
    <name>scene.prediction_copy</name>
    <message>
        <source>The copy of what the model drew is damaged.</source>
        <translation>Die Kopie dessen, was das Modell gezeichnet hat, ist beschädigt.</translation>
    </message>
    <message>
        <source>these segments were moved here from a result of a model</source>
        <translation>Diese Segmente wurden aus dem Ergebnis eines Modells hierher verschoben</translation>
    </message>
    <message>
        <source>{path} is another file now</source>
        <translation>{path} ist jetzt eine andere Datei</translation>
    </message>
    <message>
        <source>the copy of what the model drew, {path}, is not there</source>
        <translation>Die Kopie dessen, was das Modell gezeichnet hat, {path}, ist nicht da</translation>
    </message>
    <message>
        <source>Which slices were corrected cannot be told: {why}. Look at all of it and say so (&apos;I looked at all of it&apos;, in the column &apos;Drawn&apos;), or take the check mark away.</source>
        <translation>Welche Schichten verbessert sind, ist nicht zu erkennen: {why}. Alles ansehen und das sagen („Ich habe alles angesehen“, in der Spalte „Zeichnung“), oder den Haken wegnehmen.</translation>
    </message>
    <message>
        <source>{path} is no label map that a model wrote</source>
        <translation>{path} ist keine Labelmap, die ein Modell geschrieben hat</translation>
    </message>
</context>
<context>
    <name>scene.segment_layers</name>
    <message>
        <source>The segments of {name} cannot be turned into voxels. Create their binary labelmap in the Segmentations module.</source>
        <translation>Die Segmente von {name} lassen sich nicht in Voxel umwandeln. Im Modul „Segmentierungen“ ihre binäre Labelmap erzeugen.</translation>
    </message>
</context>
<context>
    <name>scene.uncertainty_view</name>
    <message>
        <source>There is no uncertainty of {name} any more: apply the model again.</source>
        <translation>Es gibt zu {name} keine Unsicherheit mehr: Das Modell noch einmal anwenden.</translation>
    </message>
    <message>
        <source>{volume} uncertainty</source>
        <translation>{volume} Unsicherheit</translation>
    </message>
    <message>
        <source>{path} cannot be read. Is the file there and complete?</source>
        <translation>{path} lässt sich nicht lesen. Ist die Datei da und vollständig?</translation>
    </message>
</context>
<context>
    <name>scene.volumes</name>
    <message>
        <source>The volume {name} has no image data. Load its file again, or take it out.</source>
        <translation>Das Volumen {name} hat keine Bilddaten. Seine Datei neu laden oder es herausnehmen.</translation>
    </message>
    <message>
        <source>The volume {name} has a voxel size of 0. Correct its spacing in the Volumes module.</source>
        <translation>Das Volumen {name} hat eine Voxelgröße von 0. Seine Abstände im Modul „Volumes“ berichtigen.</translation>
    </message>
    <message>
        <source>The volume {name} has {count} numbers a voxel, and one is needed. Convert it to a scalar volume (module Vector to Scalar Volume).</source>
        <translation>Das Volumen {name} hat {count} Zahlen je Voxel, gebraucht wird eine. Es in ein skalares Volumen umwandeln (Modul „Vektor zu Skalarvolumen“).</translation>
    </message>
    <message>
        <source>{first} and {second} do not lie under the same transforms, and &apos;{transform}&apos; bends space. Put both under it, or harden it, in the Transforms module.</source>
        <translation>{first} und {second} liegen nicht unter denselben Transformationen, und „{transform}“ verbiegt den Raum. Beide darunter legen oder sie fest anwenden, im Modul „Transforms“.</translation>
    </message>
    <message>
        <source>Cannot write {path}. Free some space on the disk, then try again.</source>
        <translation>{path} lässt sich nicht schreiben. Platz auf dem Datenträger schaffen, dann noch einmal versuchen.</translation>
    </message>
</context>
<context>
    <name>shared.messages</name>
    <message>
        <source>This did not work, by a mistake in MedSegTrainer: {error}. The error log of Slicer tells more.</source>
        <translation>Das ging nicht, durch einen Fehler in MedSegTrainer: {error}. Das Fehlerprotokoll von Slicer sagt mehr.</translation>
    </message>
</context>
<context>
    <name>train.advice_list</name>
    <message>
        <source>Apply</source>
        <translation>Übernehmen</translation>
    </message>
    <message>
        <source>Already applied: it counts when a training is started.</source>
        <translation>Schon übernommen: Es zählt, wenn ein Training gestartet wird.</translation>
    </message>
    <message>
        <source>&lt;p&gt;Changes for the next start:&lt;br&gt;{changes}&lt;/p&gt;</source>
        <translation>&lt;p&gt;Änderungen für den nächsten Start:&lt;br&gt;{changes}&lt;/p&gt;</translation>
    </message>
</context>
<context>
    <name>train.chart_titles</name>
    <message>
        <source>Loss</source>
        <translation>Verlust</translation>
    </message>
    <message>
        <source>Show all</source>
        <translation>Alles zeigen</translation>
    </message>
</context>
<context>
    <name>train.charts</name>
    <message>
        <source>MedSegTrainer {key}</source>
        <translation>MedSegTrainer {key}</translation>
    </message>
    <message>
        <source>loss</source>
        <translation>Verlust</translation>
    </message>
    <message>
        <source>training</source>
        <translation>Training</translation>
    </message>
    <message>
        <source>held-out</source>
        <translation>Validierung</translation>
    </message>
    <message>
        <source>Dice</source>
        <translation>Dice</translation>
    </message>
    <message>
        <source>mean</source>
        <translation>Mittel</translation>
    </message>
    <message>
        <source>Training: {title}</source>
        <translation>Training: {title}</translation>
    </message>
    <message>
        <source>epoch</source>
        <translation>Epoche</translation>
    </message>
</context>
<context>
    <name>train.continue_button</name>
    <message>
        <source>Co&amp;ntinue</source>
        <translation>&amp;Fortsetzen</translation>
    </message>
    <message>
        <source>&amp;Start training</source>
        <translation>&amp;Training starten</translation>
    </message>
    <message>
        <source>Goes on from {name} with the rows of now: {count}, of which {new} are new. What was prepared for it is not prepared again, and the cases that were held out stay so.</source>
        <translation>Setzt {name} mit den jetzigen Zeilen fort: {count}, davon neu: {new}. Was dafür vorbereitet wurde, wird nicht noch einmal vorbereitet, und die Validierungsfälle bleiben dieselben.</translation>
    </message>
</context>
<context>
    <name>train.job_view</name>
    <message>
        <source>Goes on where it ended, with the time that it had left.</source>
        <translation>Geht weiter, wo es endete, mit der Zeit, die noch blieb.</translation>
    </message>
    <message>
        <source>Stopping: the best model is measured on the held-out cases. One moment ...</source>
        <translation>Stoppt: Das beste Modell wird an den Validierungsfällen gemessen. Einen Moment ...</translation>
    </message>
    <message>
        <source>Stopping at once ...</source>
        <translation>Stoppt sofort ...</translation>
    </message>
    <message>
        <source>Applied: it counts for the next start.</source>
        <translation>Übernommen: Es zählt für den nächsten Start.</translation>
    </message>
    <message>
        <source>{name} is running. Stop it first.</source>
        <translation>{name} läuft. Es zuerst stoppen.</translation>
    </message>
    <message>
        <source>best Dice {dice}</source>
        <translation>bester Dice {dice}</translation>
    </message>
    <message>
        <source>Slicer runs without views.</source>
        <translation>Slicer läuft ohne Ansichten.</translation>
    </message>
</context>
<context>
    <name>train.prediction_preview</name>
    <message>
        <source>Prediction of {case} (training)</source>
        <translation>Vorhersage von {case} (Training)</translation>
    </message>
</context>
<context>
    <name>train.preview_box</name>
    <message>
        <source>show prediction of {case} in the views</source>
        <translation>Vorhersage von {case} in den Ansichten zeigen</translation>
    </message>
    <message>
        <source>The prediction after epoch {epoch}, in the slice views that show {case}, while the training goes on. Where none does, a click shows {case} in them.</source>
        <translation>Die Vorhersage nach Epoche {epoch} in den Schichtansichten, die {case} zeigen, während das Training weitergeht. Wo es keine tut, zeigt ein Klick {case} darin.</translation>
    </message>
    <message>
        <source>{case} is not among the volumes of the table above.</source>
        <translation>{case} ist nicht unter den Volumina der Tabelle oben.</translation>
    </message>
</context>
<context>
    <name>train.preview_choice</name>
    <message>
        <source>The training has ended: it makes no further predictions.</source>
        <translation>Das Training ist beendet: Es macht keine weiteren Vorhersagen.</translation>
    </message>
    <message>
        <source>The held-out case whose prediction is shown, from the next validation on. In brackets its mean Dice.</source>
        <translation>Der Validierungsfall, dessen Vorhersage gezeigt wird, ab der nächsten Validierung. In Klammern sein mittlerer Dice.</translation>
    </message>
    <message>
        <source>The prediction of {case} comes with the next validation.</source>
        <translation>Die Vorhersage von {case} kommt mit der nächsten Validierung.</translation>
    </message>
    <message>
        <source>{case} is not among the volumes of the table above.</source>
        <translation>{case} ist nicht unter den Volumina der Tabelle oben.</translation>
    </message>
    <message>
        <source>{name} lies in a folder: load its files to see it.</source>
        <translation>{name} liegt in einem Ordner: seine Dateien laden, um es zu sehen.</translation>
    </message>
    <message>
        <source>Worst</source>
        <translation>Schwächster</translation>
    </message>
    <message>
        <source>Worst ({dice:.2f})</source>
        <translation>Schwächster ({dice:.2f})</translation>
    </message>
    <message>
        <source>No held-out case has a Dice.</source>
        <translation>Kein Validierungsfall hat einen Dice.</translation>
    </message>
    <message>
        <source>{case} has the lowest mean Dice. A click shows it where the prediction differs most, and asks for it.</source>
        <translation>{case} hat den niedrigsten mittleren Dice. Ein Klick zeigt ihn dort, wo die Vorhersage am meisten abweicht, und fordert sie an.</translation>
    </message>
</context>
<context>
    <name>train.rename_row</name>
    <message>
        <source>A class of the table above.</source>
        <translation>Eine Klasse der Tabelle oben.</translation>
    </message>
    <message>
        <source>new</source>
        <translation>neu</translation>
    </message>
    <message>
        <source>What the class was in the model, as which it goes on; of several it becomes one. What is new is learned from the beginning.</source>
        <translation>Was die Klasse im Modell war, als das sie weiterlernt; aus mehreren wird sie eine. Was neu ist, wird von Anfang an gelernt.</translation>
    </message>
</context>
<context>
    <name>train.section</name>
    <message>
        <source>All groups</source>
        <translation>Alle Gruppen</translation>
    </message>
    <message>
        <source>A training is running. Stop it first, or wait until it is done.</source>
        <translation>Ein Training läuft. Es zuerst stoppen oder warten, bis es fertig ist.</translation>
    </message>
    <message>
        <source>Exports the cases and trains beside Slicer; you can go on working, or close Slicer.</source>
        <translation>Exportiert die Fälle und trainiert neben Slicer; inzwischen kann weitergearbeitet oder Slicer geschlossen werden.</translation>
    </message>
    <message>
        <source>{count} changed</source>
        <translation>{count} geändert</translation>
    </message>
    <message>
        <source>all as planned</source>
        <translation>alles wie geplant</translation>
    </message>
    <message>
        <source>All settings back to their defaults.</source>
        <translation>Alle Einstellungen auf ihre Vorgaben.</translation>
    </message>
    <message>
        <source>Saves the changed settings as a file (JSON).</source>
        <translation>Speichert die geänderten Einstellungen als Datei (JSON).</translation>
    </message>
    <message>
        <source>No setting was changed.</source>
        <translation>Keine Einstellung wurde geändert.</translation>
    </message>
    <message>
        <source>No setting has these words. Try another, such as rate, size or weight.</source>
        <translation>Keine Einstellung hat diese Wörter. Andere versuchen, etwa Rate, Größe oder Gewicht.</translation>
    </message>
    <message>
        <source>Load a configuration</source>
        <translation>Eine Konfiguration laden</translation>
    </message>
    <message>
        <source>Configuration (*.json)</source>
        <translation>Konfiguration (*.json)</translation>
    </message>
    <message>
        <source>Save the configuration</source>
        <translation>Die Konfiguration speichern</translation>
    </message>
    <message>
        <source>the cases</source>
        <translation>die Fälle</translation>
    </message>
    <message>
        <source>The scene is being closed. Open this module again when it is done.</source>
        <translation>Die Szene wird geschlossen. Danach dieses Modul wieder öffnen.</translation>
    </message>
    <message>
        <source>Exporting {name} ...</source>
        <translation>Exportiert {name} ...</translation>
    </message>
    <message>
        <source>All choices of {name}, with their reasons.</source>
        <translation>Alle Entscheidungen zu {name} mit ihren Gründen.</translation>
    </message>
    <message>
        <source>When a training has started, this shows what was chosen and why.</source>
        <translation>Wenn ein Training begonnen hat, steht hier, was gewählt wurde und warum.</translation>
    </message>
    <message>
        <source>Add training data above: volumes with their segmentations.</source>
        <translation>Oben Trainingsdaten hinzufügen: Volumina mit ihren Segmentierungen.</translation>
    </message>
    <message>
        <source>the network is chosen for them when training starts</source>
        <translation>das Netz wird beim Start passend gewählt</translation>
    </message>
    <message>
        <source>the network is {name}, as set under Advanced</source>
        <translation>das Netz ist {name}, wie unter „Erweitert“ eingestellt</translation>
    </message>
    <message>
        <source>the network is that of the model</source>
        <translation>das Netz ist das des Modells</translation>
    </message>
    <message>
        <source>{count} cases, and those that were held out stay so</source>
        <translation>{count} Fälle, und die Validierungsfälle bleiben dieselben</translation>
    </message>
    <message>
        <source>{cases}; {chosen}.</source>
        <translation>{cases}; {chosen}.</translation>
    </message>
    <message>
        <source> It takes {epochs} epochs, as set under Advanced, however long that is.</source>
        <translation> Es dauert {epochs} Epochen, wie unter „Erweitert“ eingestellt, gleich wie lange das ist.</translation>
    </message>
    <message>
        <source>1 case: it trains and is looked at, so nobody knows how good the model is for others</source>
        <translation>1 Fall: Er trainiert und wird angesehen, sodass niemand weiß, wie gut das Modell bei anderen ist</translation>
    </message>
    <message>
        <source>{count} cases, divided as set under Advanced</source>
        <translation>{count} Fälle, aufgeteilt wie unter „Erweitert“ eingestellt</translation>
    </message>
    <message>
        <source>{count} cases, none is held out</source>
        <translation>{count} Fälle, keiner zur Validierung</translation>
    </message>
    <message>
        <source>{count} cases, one is held out to measure the Dice</source>
        <translation>{count} Fälle, einer davon zur Validierung</translation>
    </message>
    <message>
        <source>{count} cases, {held} are held out to measure the Dice</source>
        <translation>{count} Fälle, {held} davon zur Validierung</translation>
    </message>
</context>
<context>
    <name>train.settings</name>
    <message>
        <source>Network</source>
        <translation>Netz</translation>
    </message>
    <message>
        <source>Loss</source>
        <translation>Verlust</translation>
    </message>
    <message>
        <source>Optimizer</source>
        <translation>Optimierer</translation>
    </message>
    <message>
        <source>Schedule</source>
        <translation>Zeitplan</translation>
    </message>
    <message>
        <source>Augmentation</source>
        <translation>Augmentierung</translation>
    </message>
    <message>
        <source>Strategies</source>
        <translation>Strategien</translation>
    </message>
    <message>
        <source>Data</source>
        <translation>Daten</translation>
    </message>
    <message>
        <source>Checkpoints</source>
        <translation>Checkpoints</translation>
    </message>
    <message>
        <source>a whole number{limits}</source>
        <translation>eine ganze Zahl{limits}</translation>
    </message>
    <message>
        <source>a number{limits}</source>
        <translation>eine Zahl{limits}</translation>
    </message>
    <message>
        <source>several numbers{limits}, with commas between</source>
        <translation>mehrere Zahlen{limits}, mit Kommas dazwischen</translation>
    </message>
    <message>
        <source>names, with commas between</source>
        <translation>Namen, durch Kommas getrennt</translation>
    </message>
    <message>
        <source>several of {words}, with commas between</source>
        <translation>mehrere von {words}, mit Kommas dazwischen</translation>
    </message>
    <message>
        <source>text</source>
        <translation>Text</translation>
    </message>
    <message>
        <source> or </source>
        <translation> oder </translation>
    </message>
    <message>
        <source> from {low} to {high}</source>
        <translation> von {low} bis {high}</translation>
    </message>
    <message>
        <source> of at least {low}</source>
        <translation> ab {low}</translation>
    </message>
    <message>
        <source>{label}: &apos;{value}&apos; is not possible. Possible is {range}.</source>
        <translation>{label}: „{value}“ ist nicht möglich. Möglich ist {range}.</translation>
    </message>
</context>
<context>
    <name>train.settings_file</name>
    <message>
        <source>{file} cannot be used: {reason}.</source>
        <translation>{file} ist nicht verwendbar: {reason}.</translation>
    </message>
    <message>
        <source>{file} holds no settings of a training.</source>
        <translation>{file} enthält keine Einstellungen eines Trainings.</translation>
    </message>
    <message>
        <source>{file} is a workflow, which only the command line reads: save its settings by themselves.</source>
        <translation>{file} ist ein Arbeitsablauf, den nur die Kommandozeile liest: seine Einstellungen für sich speichern.</translation>
    </message>
    <message>
        <source>{file} is not used. {problem}</source>
        <translation>{file} wird nicht benutzt. {problem}</translation>
    </message>
    <message>
        <source>&apos;{name}&apos; must be an object with settings.</source>
        <translation>„{name}“ muss ein Objekt mit Einstellungen sein.</translation>
    </message>
    <message>
        <source> or </source>
        <translation> oder </translation>
    </message>
    <message>
        <source>&apos;{name}&apos; can be {keys}: write it in its section.</source>
        <translation>„{name}“ kann {keys} sein: es in seinen Abschnitt schreiben.</translation>
    </message>
    <message>
        <source>&apos;{key}&apos; cannot be {value}.</source>
        <translation>„{key}“ kann nicht {value} sein.</translation>
    </message>
    <message>
        <source>&apos;{key}&apos; is no setting of a training.</source>
        <translation>„{key}“ ist keine Einstellung eines Trainings.</translation>
    </message>
</context>
<context>
    <name>train.settings_form</name>
    <message>
        <source>{value} (default)</source>
        <translation>{value} (Vorgabe)</translation>
    </message>
    <message>
        <source>not given</source>
        <translation>nicht angegeben</translation>
    </message>
    <message>
        <source>Possible: {range}</source>
        <translation>Möglich: {range}</translation>
    </message>
    <message>
        <source>Default: {value}</source>
        <translation>Vorgabe: {value}</translation>
    </message>
</context>
<context>
    <name>train.start_box</name>
    <message>
        <source>nothing</source>
        <translation>nichts</translation>
    </message>
    <message>
        <source>Or start from nothing.</source>
        <translation>Oder von Anfang an trainieren: nichts.</translation>
    </message>
    <message>
        <source>{name} is an ensemble of {count} models, and a training starts from one. Choose the folder of one of them with the button [...].</source>
        <translation>{name} ist ein Ensemble aus {count} Modellen, und ein Training geht von einem aus. Mit der Schaltfläche [...] den Ordner eines davon wählen.</translation>
    </message>
    <message>
        <source>Set the check mark of &apos;Adapt&apos; to go on with what fits, or choose another model.</source>
        <translation>Mit dem Häkchen „Anpassen“ geht es mit dem weiter, was passt; oder ein anderes Modell wählen.</translation>
    </message>
</context>
<context>
    <name>train.start_fit</name>
    <message>
        <source>Kept: {names}.</source>
        <translation>Bleibt: {names}.</translation>
    </message>
    <message>
        <source>New: {names}.</source>
        <translation>Neu: {names}.</translation>
    </message>
    <message>
        <source>Dropped: {names}.</source>
        <translation>Entfällt: {names}.</translation>
    </message>
    <message>
        <source>The model knows {names}; further volumes are new to it.</source>
        <translation>Das Modell kennt {names}; weitere Volumina sind ihm neu.</translation>
    </message>
    <message>
        <source>{name} (was {olds})</source>
        <translation>{name} (war {olds})</translation>
    </message>
    <message>
        <source>{names} and {n} more</source>
        <translation>{names} und {n} weitere</translation>
    </message>
    <message>
        <source>The model takes {wanted} volumes a case ({names}), and the cases have {count}.</source>
        <translation>Das Modell braucht {wanted} Volumina je Fall ({names}), und die Fälle haben {count}.</translation>
    </message>
    <message>
        <source>The model is one for volumes, and the cases are single slices.</source>
        <translation>Das Modell ist eines für Volumina, und die Fälle sind einzelne Schichten.</translation>
    </message>
    <message>
        <source>The model is one for single images, and the cases are volumes.</source>
        <translation>Das Modell ist eines für einzelne Bilder, und die Fälle sind Volumina.</translation>
    </message>
</context>
<context>
    <name>train.support_file</name>
    <message>
        <source>It is being written.</source>
        <translation>Sie wird gerade geschrieben.</translation>
    </message>
    <message>
        <source>Packs what helps to find out what went wrong: settings, events, log and versions, and no images.</source>
        <translation>Packt ein, was die Ursache finden hilft: Einstellungen, Ereignisse, Protokoll und Versionen, und keine Bilder.</translation>
    </message>
    <message>
        <source>Save for support</source>
        <translation>Für Hilfe speichern</translation>
    </message>
    <message>
        <source>Zip file (*.zip)</source>
        <translation>Zip-Datei (*.zip)</translation>
    </message>
    <message>
        <source>The file for support was not written: {reason}</source>
        <translation>Die Datei für Hilfe wurde nicht geschrieben: {reason}</translation>
    </message>
    <message>
        <source>{file} was written; the log lists what is in it. Look at it before you send it.</source>
        <translation>{file} wurde geschrieben; das Protokoll nennt den Inhalt. Vor dem Senden ansehen.</translation>
    </message>
</context>
<context>
    <name>train.training_list</name>
    <message>
        <source>Trainings ({count})</source>
        <translation>Trainings ({count})</translation>
    </message>
    <message>
        <source>Brings back what was removed: choose it at the end of the list.</source>
        <translation>Holt Entferntes zurück: es am Ende der Liste wählen.</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>It was removed. Bring it back first.</source>
        <translation>Es wurde entfernt. Es zuerst zurückholen.</translation>
    </message>
    <message>
        <source>Brings it back, as it was.</source>
        <translation>Holt es zurück, wie es war.</translation>
    </message>
    <message>
        <source>Deletes its files now: {size}. Asks first.</source>
        <translation>Löscht seine Dateien jetzt: {size}. Fragt vorher.</translation>
    </message>
    <message>
        <source>Delete</source>
        <translation>Löschen</translation>
    </message>
    <message>
        <source>{name} is chosen in the section Apply.</source>
        <translation>{name} ist im Abschnitt „Anwenden“ gewählt.</translation>
    </message>
    <message>
        <source>{name} is the version that section 3 applies and that Continue goes on from.</source>
        <translation>{name} ist die Version, die Abschnitt 3 anwendet und von der „Fortsetzen“ ausgeht.</translation>
    </message>
    <message>
        <source>Delete the training {name} with its model and its report for good? This cannot be undone.</source>
        <translation>Das Training {name} mit seinem Modell und seinem Bericht endgültig löschen? Das lässt sich nicht rückgängig machen.</translation>
    </message>
    <message>
        <source>{name} is back.</source>
        <translation>{name} ist wieder da.</translation>
    </message>
    <message>
        <source>Shows its curves, advice and log here.</source>
        <translation>Zeigt seine Kurven, seinen Rat und sein Protokoll hier.</translation>
    </message>
    <message>
        <source>Goes on where it ended.</source>
        <translation>Geht weiter, wo es endete.</translation>
    </message>
    <message>
        <source>Opens its report in the browser.</source>
        <translation>Öffnet seinen Bericht im Browser.</translation>
    </message>
    <message>
        <source>Chooses its model in the section Apply.</source>
        <translation>Wählt sein Modell im Abschnitt „Anwenden“.</translation>
    </message>
    <message>
        <source>Makes this version the one that is applied, and that a training goes on from.</source>
        <translation>Macht diese Version zu der, die angewandt wird und von der ein Training ausgeht.</translation>
    </message>
    <message>
        <source>Removes it with its model and its report; it can be brought back.</source>
        <translation>Entfernt es mit seinem Modell und seinem Bericht; es kann zurückgeholt werden.</translation>
    </message>
    <message>
        <source>Choose a training in the list.</source>
        <translation>Ein Training in der Liste wählen.</translation>
    </message>
    <message>
        <source>It is running. Stop it first.</source>
        <translation>Es läuft. Es zuerst stoppen.</translation>
    </message>
    <message>
        <source>It is running.</source>
        <translation>Es läuft.</translation>
    </message>
    <message>
        <source>It is done: there is nothing left to do.</source>
        <translation>Es ist fertig: Es gibt nichts mehr zu tun.</translation>
    </message>
    <message>
        <source>The report is written when a training ends properly.</source>
        <translation>Der Bericht entsteht, wenn ein Training ordentlich endet.</translation>
    </message>
    <message>
        <source>It has no model yet.</source>
        <translation>Es hat noch kein Modell.</translation>
    </message>
</context>
<context>
    <name>train.version_table</name>
    <message>
        <source>Version</source>
        <translation>Version</translation>
    </message>
    <message>
        <source>Cases</source>
        <translation>Fälle</translation>
    </message>
    <message>
        <source>Minutes</source>
        <translation>Minuten</translation>
    </message>
    <message>
        <source>Dice</source>
        <translation>Dice</translation>
    </message>
    <message>
        <source>Started</source>
        <translation>Gestartet</translation>
    </message>
    <message>
        <source>{text}. The model that section 3 applies.</source>
        <translation>{text}. Das Modell, das Abschnitt 3 anwendet.</translation>
    </message>
</context>
</TS>
