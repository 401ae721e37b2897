//go:build race

package pgxmask

const raceEnabled = true
