package vectortest_test

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/siv"
)

// TestSIV runs all cases of 512-bit keys; shorter keys must be refused.
func TestSIV(t *testing.T) {
	data, err := fs.ReadFile(wycheproof.TestVectors, "aes_siv_cmac_test.json")
	require.NoError(t, err)
	var file struct {
		Algorithm     string
		NumberOfTests int
		TestGroups    []struct {
			KeySize int
			Tests   []struct {
				TcID                      int
				Key, AAD, Msg, CT, Result string
			}
		}
	}
	require.NoError(t, json.Unmarshal(data, &file))
	require.Equal(t, "AES-SIV-CMAC", file.Algorithm)
	var valid, invalid, shortKeys int
	for _, group := range file.TestGroups {
		for _, v := range group.Tests {
			c, err := siv.New(unhex(t, v.Key))
			if group.KeySize != 8*siv.KeySize {
				require.Error(t, err, "tcId %d", v.TcID)
				shortKeys++
				continue
			}
			require.NoError(t, err, "tcId %d", v.TcID)
			out, ok := c.Open(nil, unhex(t, v.CT), unhex(t, v.AAD))
			if v.Result != "valid" {
				require.Equal(t, "invalid", v.Result)
				require.False(t, ok, "tcId %d", v.TcID)
				require.NotEqual(t, unhex(t, v.CT), c.Seal(nil, unhex(t, v.Msg), unhex(t, v.AAD)), "tcId %d", v.TcID)
				invalid++
				continue
			}
			require.True(t, ok, "tcId %d", v.TcID)
			require.Equal(t, v.Msg, hex.EncodeToString(out), "tcId %d", v.TcID)
			require.Equal(t, v.CT, hex.EncodeToString(c.Seal(nil, unhex(t, v.Msg), unhex(t, v.AAD))), "tcId %d", v.TcID)
			valid++
		}
	}
	require.Equal(t, file.NumberOfTests, valid+invalid+shortKeys)
	require.Equal(t, 147, valid+invalid, "all cases of 512-bit keys")
	t.Logf("%d vectors of 512-bit keys: %d equal both ways, %d invalid refused; %d of shorter keys refused", valid+invalid, valid, invalid, shortKeys)
}
