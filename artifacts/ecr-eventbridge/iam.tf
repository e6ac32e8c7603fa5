# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# What EventBridge may do here: call these API destinations, and nothing else.

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    # Not for rules of somebody else's account.
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
