//go:build tools

// Package tools keeps modules whose files the checks read.
package tools

import _ "sigs.k8s.io/gateway-api/apis/v1"
