package prf_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/prf/subtle"

	"github.com/sealfield/sealfield/internal/prf"
)

func testKey() []byte {
	key := make([]byte, prf.KeySize)
	for i := range key {
		key[i] = byte(i)
	}
	return key
}

// TestOracle draws what Tink's AES-CMAC and the standard library's counter mode
// give. A tag of which the last 8 bytes overflow is too rare to matter here.
func TestOracle(t *testing.T) {
	key := testKey()
	oracle, err := subtle.NewAESCMACPRF(key[:32])
	require.NoError(t, err)
	block, err := aes.NewCipher(key[32:])
	require.NoError(t, err)
	p, err := prf.New(key)
	require.NoError(t, err)
	for n := range 70 {
		value := make([]byte, n)
		for i := range value {
			value[i] = byte(7 * i)
		}
		tag, err := oracle.ComputePRF(value, 16)
		require.NoError(t, err)
		want := make([]byte, 64)
		cipher.NewCTR(block, tag).XORKeyStream(want, want)
		s := p.Start(value)
		for i := 0; i < len(want); i += 8 {
			require.Equal(t, binary.BigEndian.Uint64(want[i:]), s.Uint64(), "%d bytes", n)
		}
		s.End()
	}
}

// TestBatch draws from streams that were begun together what single ones draw, in
// batches of all sizes, of values of mixed lengths and of equal ones.
func TestBatch(t *testing.T) {
	p, err := prf.New(testKey())
	require.NoError(t, err)
	for size := range prf.BatchSize + 1 {
		for n := range 70 {
			values := make([][]byte, size)
			for i := range values {
				values[i] = bytes.Repeat([]byte{byte(i / 2)}, (n+i/2*13)%70)
			}
			b := p.StartBatch(values, n%2 == 0)
			for i, value := range values {
				s := p.Start(value)
				for range 24 {
					require.Equal(t, s.Uint16(), b.Stream(i).Uint16(), "value %d of %d", i, size)
				}
				require.Equal(t, s.Uint64(), b.Stream(i).Uint64())
				s.End()
			}
			b.End()
		}
	}
}

func TestBelow(t *testing.T) {
	p, err := prf.New(testKey())
	require.NoError(t, err)
	s := p.Start([]byte("value"))
	defer s.End()
	var seen [10]int
	for range 10_000 {
		seen[s.Below(10)]++
	}
	for _, n := range seen {
		require.InDelta(t, 1000, n, 200)
	}
	require.Zero(t, s.Below(1))
}

func TestConcurrent(t *testing.T) {
	p, err := prf.New(testKey())
	require.NoError(t, err)
	draw := func(i int) uint64 {
		s := p.Start(fmt.Append(nil, i))
		defer s.End()
		return s.Uint64()
	}
	var want [16]uint64
	for i := range want {
		want[i] = draw(i)
	}
	var wrong atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 10_000 {
				if draw(i%16) != want[i%16] {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, wrong.Load())
}

func TestKeys(t *testing.T) {
	_, err := prf.New(make([]byte, 32))
	require.Error(t, err)
	key := testKey()
	copy(key, "\xde\xad\xbe\xef secret")
	p, err := prf.New(key)
	require.NoError(t, err)
	p.Start(nil).End()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, p)
		for _, secret := range []string{"deadbeef", "0xde", "222 173", "secret", "736563726574"} {
			require.NotContains(t, text, secret)
		}
	}
}
