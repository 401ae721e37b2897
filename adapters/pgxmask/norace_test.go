//go:build !race

package pgxmask

const raceEnabled = false
