package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRun runs the program, which checks all that it claims.
func TestRun(t *testing.T) { require.NoError(t, run(t.Context())) }
