# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

output "endpoints" {
  description = "The URL for each namespace."
  value       = { for namespace, destination in aws_cloudwatch_event_api_destination.namespace : namespace => destination.invocation_endpoint }
}

output "rule_arn" {
  description = "ARN of the rule."
  value       = aws_cloudwatch_event_rule.push.arn
}

output "undelivered_queue_url" {
  description = "URL of the queue of failed deliveries."
  value       = aws_sqs_queue.undelivered.url
}
