//go:build unix

package ff1_test

import (
	"crypto/aes"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkFF1 compares the encryption of short values into a given slice with
// ten chained AES-256 blocks, below which no FF1 can be. Rounds interleave all
// cases; it prints the median ratio of CPU times in one round, its extremes,
// and allocations. Run it with -benchtime 1x.
func BenchmarkFF1(b *testing.B) {
	const rounds = 15
	cases := newCases(b)
	times := make([][]float64, len(cases))
	for b.Loop() {
		for round := range rounds {
			for j := range cases {
				i := (j + round) % len(cases)
				times[i] = append(times[i], cpuTime(b, cases[i].work))
			}
		}
	}
	fmt.Printf("\n%-32s %8s %7s %14s %7s\n", "", "CPU ns", "ratio", "min..max", "allocs")
	for i, c := range cases {
		ratios := make([]float64, len(times[i]))
		for r := range ratios {
			ratios[r] = times[i][r] / times[0][r]
		}
		slices.Sort(ratios)
		allocs := testing.AllocsPerRun(1000, func() { c.work(1) })
		slices.Sort(times[i])
		fmt.Printf("%-32s %8.0f %7.2f %6.2f..%-6.2f %7.1f\n", c.name, times[i][len(times[i])/2],
			ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], allocs)
		b.ReportMetric(ratios[len(ratios)/2], fmt.Sprintf("ratio-%d", i))
	}
}

type benchCase struct {
	name string
	work func(n int)
}

func newCases(b *testing.B) []benchCase {
	key := make([]byte, 32)
	block, err := aes.NewCipher(key)
	require.NoError(b, err)
	chain := make([]byte, aes.BlockSize)
	cases := []benchCase{{"floor: 10 chained AES-256 blocks", func(n int) {
		for range n {
			for range 10 {
				block.Encrypt(chain, chain)
			}
		}
	}}}
	for _, c := range []struct {
		name, alphabet, value string
		tweak                 int
	}{
		{"10 digits", digits, "0123456789", 8},
		{"16 digits", digits, "0123456789012345", 8},
		{"16 digits, no tweak", digits, "0123456789012345", 0},
		{"16 digits, tweak of 32 bytes", digits, "0123456789012345", 32},
		{"19 digits", digits, "0123456789012345678", 8},
		{"32 characters, radix 36", base36, "0123456789abcdef0123456789abcdef", 8},
		{"64 digits", digits, "0123456789012345012345678901234501234567890123450123456789012345", 8},
	} {
		cipher, alphabet := newCipher(b, key, len(c.alphabet)), newAlphabet(b, c.alphabet)
		dst, value, tweak := make([]byte, 0, 64), []byte(c.value), make([]byte, c.tweak)
		cases = append(cases, benchCase{c.name, func(n int) {
			for range n {
				if _, err := cipher.AppendEncrypt(dst, alphabet, value, tweak); err != nil {
					b.Fatal(err)
				}
			}
		}})
	}
	return append(cases, batchCase(b, 8), batchCase(b, 100))
}

func batchCase(b *testing.B, size int) benchCase {
	cipher := newCipher(b, make([]byte, 32), 10)
	values, tweaks := make([][]uint16, size), make([][]byte, size)
	for i := range values {
		values[i], tweaks[i] = make([]uint16, 16), make([]byte, 8)
	}
	return benchCase{fmt.Sprintf("16 digits, of a batch of %d", size), func(n int) {
		for range max(1, n/size) {
			if err := cipher.EncryptBatch(values, tweaks); err != nil {
				b.Fatal(err)
			}
		}
	}}
}

// cpuTime returns the ns of CPU time for one operation.
func cpuTime(b *testing.B, work func(n int)) float64 {
	const n = 50_000
	runtime.GC()
	start := rusage(b)
	work(n)
	return float64(rusage(b)-start) / n
}

func rusage(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
