# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Reports images that are pushed to Amazon ECR to Postern: rule, API destination, and the role to call it.

locals {
  path = "/apis/postern.dev/v1alpha1/namespaces/%s/webhooksources/${var.format}/webhookdeliveries"
}

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
resource "aws_cloudwatch_event_rule" "push" {
  name        = var.name
  description = "Images with a tag that are pushed to ECR"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.ecr"]
    detail-type = ["ECR Image Action"]
    detail = merge(
      {
        action-type = ["PUSH"]
        result      = ["SUCCESS"]
        image-tag   = [{ exists = true }]
      },
      length(var.repositories) > 0 ? { repository-name = var.repositories } : {},
    )
  })
}

# EventBridge sends an API key unchanged in a configurable header.
resource "aws_cloudwatch_event_connection" "kube_apiserver" {
  name               = var.name
  description        = "The kube-apiserver, with Postern's webhook secret"
  authorization_type = "API_KEY"

  auth_parameters {
    api_key {
      key   = "X-Webhook-Secret"
      value = var.secret
    }
  }

  dynamic "invocation_connectivity_parameters" {
    for_each = var.resource_configuration_arn == null ? [] : [var.resource_configuration_arn]

    content {
      resource_parameters {
        resource_configuration_arn = invocation_connectivity_parameters.value
      }
    }
  }
}

resource "aws_cloudwatch_event_api_destination" "namespace" {
  for_each = var.namespaces

  name                             = "${var.name}-${each.value}"
  description                      = "Postern, for the namespace ${each.value}"
  connection_arn                   = aws_cloudwatch_event_connection.kube_apiserver.arn
  http_method                      = "POST"
  invocation_endpoint              = "${var.kube_apiserver}${format(local.path, each.value)}"
  invocation_rate_limit_per_second = 10
}

resource "aws_cloudwatch_event_target" "namespace" {
  for_each = var.namespaces

  rule      = aws_cloudwatch_event_rule.push.name
  target_id = each.value
  arn       = aws_cloudwatch_event_api_destination.namespace[each.value].arn
  role_arn  = aws_iam_role.deliver.arn

  dynamic "input_transformer" {
    for_each = var.format == "cloudevents" ? [1] : []

    content {
      input_paths = {
        account    = "$.account"
        digest     = "$.detail.image-digest"
        id         = "$.id"
        region     = "$.region"
        repository = "$.detail.repository-name"
        tag        = "$.detail.image-tag"
        time       = "$.time"
      }
      input_template = file("${path.module}/cloudevent.template.json")
    }
  }

  retry_policy {
    maximum_event_age_in_seconds = var.max_event_age_seconds
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.undelivered.arn
  }
}
