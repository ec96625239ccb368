"""The parts of AWS that moto lacks, and an HTTP endpoint in front of moto."""
