# Deploys Acknowledger with Terraform, which passes the packaged template to CloudFormation.
# Run first: sam build && sam package --s3-bucket YOURS --output-template-file packaged.yaml

variable "bucket" {
  description = "The bucket for the packaged template, which is too long for CloudFormation to take inline."
  type        = string
}

variable "action_types" {
  description = "The action types to serve, as Owner/Category/Provider/Version."
  type        = list(string)
  default     = ["Custom/Build/Acknowledger/1"]
}

resource "aws_s3_object" "template" {
  bucket = var.bucket
  key    = "acknowledger/${filemd5("${path.root}/packaged.yaml")}.yaml"
  source = "${path.root}/packaged.yaml"
}

resource "aws_cloudformation_stack" "acknowledger" {
  name         = "acknowledger"
  template_url = "https://${aws_s3_object.template.bucket}.s3.amazonaws.com/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters   = { ActionTypes = join(",", var.action_types) }
}

output "job_bus_name" {
  value = aws_cloudformation_stack.acknowledger.outputs["JobBusName"]
}
