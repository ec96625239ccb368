"""What moto lacks of AWS, and an endpoint in front of both."""
