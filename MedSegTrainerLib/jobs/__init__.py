"""What a job folder asks for is done here, a file a kind of job."""
