# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

variable "kube_apiserver" {
  description = "URL of the kube-apiserver, or of what stands before it. EventBridge accepts only a certificate of a public authority."
  type        = string

  validation {
    condition     = can(regex("^https://[^/?#]+$", var.kube_apiserver))
    error_message = "Give https:// and a host, and nothing after it."
  }
}

variable "secret" {
  description = "The secret under webhook.ecr-secret, or webhook.cloudevents-secret for that format, in the Secret postern-webhook-secrets of each of the namespaces. It ends up in the state and in AWS Secrets Manager."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.secret) > 0 && length(var.secret) <= 512
    error_message = "Give 1 to 512 characters: EventBridge sends no longer header, so that a ServiceAccount's token does not fit."
  }
}

variable "namespaces" {
  description = "Kubernetes namespaces whose Applications are to be told of pushed images. EventBridge allows five targets for a rule."
  type        = set(string)

  validation {
    condition     = length(var.namespaces) > 0 && length(var.namespaces) <= 5
    error_message = "Give one to five namespaces."
  }
}

variable "repositories" {
  description = "Names of the ECR repositories that count; none means all of the account and region."
  type        = list(string)
  default     = []
}

variable "format" {
  description = "What Postern is sent: \"ecr\", the event as it is, or \"cloudevents\", a CloudEvent made of it. Both do the same; the second is what Argo CD Image Updater takes."
  type        = string
  default     = "ecr"

  validation {
    condition     = contains(["ecr", "cloudevents"], var.format)
    error_message = "The format is ecr or cloudevents."
  }
}

variable "resource_configuration_arn" {
  description = "ARN of a VPC Lattice resource configuration, if the kube-apiserver can be reached only in a VPC; else null."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of everything that is made here."
  type        = string
  default     = "postern"
}

variable "max_event_age_seconds" {
  description = "How long EventBridge tries again, from 60 to 86400 seconds. What is older goes to the dead-letter queue."
  type        = number
  default     = 3600
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
