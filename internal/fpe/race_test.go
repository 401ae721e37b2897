//go:build race

package fpe_test

const raceEnabled = true
