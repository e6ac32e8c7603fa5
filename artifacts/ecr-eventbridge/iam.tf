# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# EventBridge may call only these API destinations.

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    # Excludes rules of other accounts.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

data "aws_iam_policy_document" "deliver" {
  statement {
    actions   = ["events:InvokeApiDestination"]
    resources = [for destination in aws_cloudwatch_event_api_destination.namespace : destination.arn]
  }
}

resource "aws_iam_role" "deliver" {
  name               = var.name
  description        = "EventBridge delivers pushes of ECR to Postern"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "deliver" {
  name   = "deliver"
  role   = aws_iam_role.deliver.id
  policy = data.aws_iam_policy_document.deliver.json
}
