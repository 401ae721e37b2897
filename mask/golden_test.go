package mask_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// goldenLines reads testdata/golden.json: the check value, then rule, value and
// result.
func goldenLines(t *testing.T) (lines [][]string) {
	data, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &lines))
	return lines
}
