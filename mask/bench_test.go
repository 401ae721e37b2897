//go:build unix

package mask_test

import (
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
	"github.com/sealfield/sealfield/token/ff1"
)

// BenchmarkRules compares rules with ten chained AES-256 blocks, below which no FF1
// can be, with what those cost if a word of each goes through a register, as numbers have
// to, and with FF1 itself. Rounds interleave all cases; it prints the median ratio of CPU times in one
// round, its extremes, and allocations. Run it with -benchtime 1x.
func BenchmarkRules(b *testing.B) {
	const rounds = 15
	cases := benchCases(b)
	times := make([][]float64, len(cases))
	for b.Loop() {
		for round := range rounds {
			for j := range cases {
				i := (j + round) % len(cases)
				times[i] = append(times[i], cpuTime(b, cases[i].work))
			}
		}
	}
	fmt.Printf("\n%-44s %8s %7s %14s %7s\n", "", "CPU ns", "ratio", "min..max", "allocs")
	for i, c := range cases {
		ratios := make([]float64, len(times[i]))
		for r := range ratios {
			ratios[r] = times[i][r] / times[0][r]
		}
		slices.Sort(ratios)
		allocs := testing.AllocsPerRun(1000, func() { c.work(1) })
		slices.Sort(times[i])
		fmt.Printf("%-44s %8.0f %7.2f %6.2f..%-6.2f %7.1f\n", c.name, times[i][len(times[i])/2], ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], allocs)
	}
}

type benchCase struct {
	name string
	work func(n int)
}

func benchCases(b *testing.B) []benchCase {
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	chain, in := make([]byte, aes.BlockSize), make([]byte, aes.BlockSize)
	cases := []benchCase{{"floor: 10 chained AES-256 blocks", func(n int) {
		for range n {
			for range 10 {
				block.Encrypt(chain, chain)
			}
		}
	}}}
	digits, err := ff1.NewAlphabet("0123456789")
	require.NoError(b, err)
	cipher, err := ff1.New(make([]byte, 32), 10)
	require.NoError(b, err)
	cases = append(cases, benchCase{"the same, each with a word of the last stored", func(n int) {
		for range n {
			for range 10 {
				binary.BigEndian.PutUint64(in[8:], binary.BigEndian.Uint64(chain))
				block.Encrypt(chain, in)
			}
		}
	}}, benchCase{"FF1 of 10 digits", func(n int) {
		value, tweak, out := []byte("5112345678"), []byte("+491"), make([]byte, 0, 16)
		for range n {
			if _, err := cipher.AppendEncrypt(out, digits, value, tweak); err != nil {
				b.Fatal(err)
			}
		}
	}})
	row, dst := &mask.Row{Subject: []byte("12345678")}, make([]byte, 0, 256)
	for _, c := range benchRules {
		r, src := newRule(b, fixed(), c[0]), []byte(c[1])
		cases = append(cases, benchCase{c[0] + " " + c[1][:min(20, len(c[1]))], func(n int) {
			for range n {
				if _, err := r.Append(dst, src, row); err != nil {
					b.Fatal(err)
				}
			}
		}})
		require.Zero(b, r.Fallbacks())
	}
	return cases
}

// cpuTime returns the CPU time in ns of one of the operations.
func cpuTime(b *testing.B, work func(n int)) float64 {
	const n = 20_000
	used := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	work(n)
	return float64(used()-start) / n
}
