//go:build !race

package pgxfield_test

const raceEnabled = false
