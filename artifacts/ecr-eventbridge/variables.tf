# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

variable "kube_apiserver" {
  description = "URL of the kube-apiserver, or of a front before it. EventBridge accepts only a publicly trusted certificate."
  type        = string

  validation {
    condition     = can(regex("^https://[^/?#]+$", var.kube_apiserver))
    error_message = "The URL must be https:// and a host, without a path."
  }
}

variable "secret" {
  description = "The secret under webhook.ecr-secret, or webhook.cloudevents-secret for that format, in the Secret postern-webhook-secrets of each of the namespaces. It is stored in the state and in AWS Secrets Manager."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.secret) > 0 && length(var.secret) <= 512
    error_message = "The secret must have 1 to 512 characters, EventBridge's limit for headers; a ServiceAccount token is too long."
  }
}

variable "namespaces" {
  description = "Kubernetes namespaces of the Applications that use the images. EventBridge allows five targets per rule."
  type        = set(string)

  validation {
    condition     = length(var.namespaces) > 0 && length(var.namespaces) <= 5
    error_message = "One to five namespaces are required."
  }
}

variable "repositories" {
  description = "Names of the ECR repositories; an empty list means all in the account and region."
  type        = list(string)
  default     = []
}

variable "format" {
  description = "The payload: \"ecr\", the original event, or \"cloudevents\", a CloudEvent. Both have the same effect; Argo CD Image Updater accepts the second."
  type        = string
  default     = "ecr"

  validation {
    condition     = contains(["ecr", "cloudevents"], var.format)
    error_message = "The format must be ecr or cloudevents."
  }
}

variable "resource_configuration_arn" {
  description = "ARN of a VPC Lattice resource configuration, if the kube-apiserver is reachable only in a VPC; otherwise null."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of all created resources."
  type        = string
  default     = "postern"
}

variable "max_event_age_seconds" {
  description = "How long EventBridge retries, from 60 to 86400 seconds. Older events go to the dead-letter queue."
  type        = number
  default     = 3600
}

variable "tags" {
  description = "Tags of all resources that support them."
  type        = map(string)
  default     = {}
}
