package mask_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// batchTable compiles a table with a column for each rule, a subject, and one that is
// kept.
func batchTable(t testing.TB, rules ...string) (*mask.Table, []string) {
	columns := []string{"id", "kept"}
	policy := `"id": {"keep": "a number"}, "kept": {"keep": "nothing"}`
	for i, rule := range rules {
		if rule[0] != '{' {
			rule = fmt.Sprintf("%q", rule)
		}
		name := fmt.Sprintf("c%02d", i)
		columns, policy = append(columns, name), policy+fmt.Sprintf(", %q: %s", name, rule)
	}
	p, err := mask.ParsePolicy([]byte(`{"version": 1, "epoch": "test", "tables": {"t": {"subject": "id", "columns": {` + policy + `}}}}`))
	require.NoError(t, err)
	tables, err := p.Compile(t.Context(), keyringtest.NewKeyring(t), "")
	require.NoError(t, err)
	return tables["t"], columns
}

func newRows(t testing.TB, table *mask.Table, columns []string) *mask.Rows {
	rows, err := table.Rows(columns)
	require.NoError(t, err)
	return rows
}

// batchValue is a value that the rule can parse, one of another rule, a hostile one, an
// empty one, or NULL.
func batchValue(random *rand.Rand, rule string) []byte {
	list := parseable[rule]
	if list == nil {
		list = parseable[nameOf(rule)]
	}
	switch n := random.IntN(10); {
	case n == 0:
		return nil
	case n == 1:
		return []byte{}
	case n == 2 || len(list) == 0:
		if v := hostile[random.IntN(len(hostile))]; len(v) < 1000 {
			return []byte(v)
		}
		return []byte("Ann Smith")
	case n == 3:
		return []byte(parseable["phone"][random.IntN(len(parseable["phone"]))])
	case n == 4:
		return fmt.Appendf(nil, "+49%0*d", 4+random.IntN(9), random.IntN(10_000))
	}
	return []byte(list[random.IntN(len(list))])
}

// TestMaskAll masks rows of all rules in batches of all sizes, in one Rows, as Mask masks
// them one by one: NULL and empty values, ones that fall back, and texts that know the others of
// their row.
func TestMaskAll(t *testing.T) {
	table, columns := batchTable(t, append(allRules, "text")...)
	single, batched := newRows(t, table, columns), newRows(t, table, columns)
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 60
	if raceEnabled {
		rounds = 12
	}
	for round := range rounds {
		rows := make([][][]byte, random.IntN(20))
		for j := range rows {
			rows[j] = [][]byte{fmt.Append(nil, random.IntN(5)), []byte("kept")}
			for _, rule := range allRules {
				rows[j] = append(rows[j], batchValue(random, rule))
			}
			rows[j] = append(rows[j], append([]byte("from Ann Smith: "), bytes.Join(rows[j][2:], []byte(" "))...))
		}
		masked, err := batched.MaskAll(rows)
		require.NoError(t, err)
		require.Len(t, masked, len(rows))
		for j, row := range rows {
			want, err := single.Mask(row)
			require.NoError(t, err)
			require.Equal(t, want, masked[j], "round %d, row %d of %d", round, j, len(rows))
		}
	}
}

// TestMaskAllRules compares each rule alone. MaskAll and Mask count as many fallbacks.
func TestMaskAllRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, rule := range allRules {
		table, columns := batchTable(t, rule)
		r, _, _ := table.Rule("c00")
		single, batched := newRows(t, table, columns), newRows(t, table, columns)
		for range 20 {
			rows := make([][][]byte, 1+random.IntN(17))
			for j := range rows {
				rows[j] = [][]byte{fmt.Append(nil, random.IntN(5)), nil, batchValue(random, rule)}
			}
			before := r.Fallbacks()
			masked, err := batched.MaskAll(rows)
			require.NoError(t, err)
			counted := r.Fallbacks() - before
			for j, row := range rows {
				want, err := single.Mask(row)
				require.NoError(t, err)
				require.Equal(t, want, masked[j], "%s of %q", rule, row[2])
			}
			require.Equal(t, 2*counted, r.Fallbacks()-before, rule)
		}
	}
}

// TestMaskAllErrors has rows with wrong values, without a subject, and with another number of
// values: the error is that of the first such row, and of its first column, and the rows
// before it are there.
func TestMaskAllErrors(t *testing.T) {
	rules := []string{"email,fallback=error", "pan,fallback=error", "phone,fallback=error", "date,fallback=error", "name,by=subject", "text"}
	table, columns := batchTable(t, rules...)
	single, batched := newRows(t, table, columns), newRows(t, table, columns)
	random := rand.New(rand.NewPCG(5, 6))
	failed := 0
	for range 2000 {
		rows := make([][][]byte, 1+random.IntN(18))
		for j := range rows {
			rows[j] = [][]byte{[]byte("7"), nil, []byte("ann@example.com"), []byte("4111111111111111"), []byte("+4915112345678"), []byte("2024-02-29"), []byte("Ann"), []byte("note of Ann")}
			if random.IntN(16) == 0 {
				rows[j][2+random.IntN(4)] = []byte("wrong")
			}
			if random.IntN(40) == 0 {
				rows[j][0] = nil
			}
			if random.IntN(40) == 0 {
				rows[j] = rows[j][:5]
			}
		}
		masked, err := batched.MaskAll(rows)
		for j, row := range rows {
			want, wantErr := single.Mask(row)
			if wantErr != nil {
				require.EqualError(t, err, wantErr.Error())
				require.Len(t, masked, j)
				failed++
				break
			}
			require.Equal(t, want, masked[j])
		}
		if len(masked) == len(rows) {
			require.NoError(t, err)
		}
	}
	require.Greater(t, failed, 500)
	require.Less(t, failed, 1900)
}

func TestMaskAllAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	table, columns := batchTable(t, "email", "phone", "given", "surname", "pan", "date", "email,at=keep", "phone,cc=49")
	rows := newRows(t, table, columns)
	var all [][][]byte
	for i := range 19 {
		all = append(all, values(fmt.Sprint(i), "kept", fmt.Sprintf("Ann%d@Example.com", i), fmt.Sprintf("+49151123456%d", i), "Ann", "Smith", "4111 1111 1111 1111", "2024-02-29", "ann@example.com", "0151 1234567"))
	}
	require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = rows.MaskAll(all) }))
}

// BenchmarkMaskAll compares rows in batches of 8 with rows one by one.
func BenchmarkMaskAll(b *testing.B) {
	table, columns := batchTable(b, "email", "phone", "given", "surname", "pan", "date")
	rows := newRows(b, table, columns)
	var all [][][]byte
	for i := range 8 {
		all = append(all, values(fmt.Sprint(i), "kept", fmt.Sprintf("ann.%d@mail.example.com", i), fmt.Sprintf("+49151123456%d", i), "Ann", "Smith", "4111111111111111", "2024-02-29"))
	}
	b.Run("one", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			_, _ = rows.Mask(all[i%8])
		}
	})
	b.Run("eight", func(b *testing.B) {
		for b.Loop() {
			_, _ = rows.MaskAll(all)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(8*b.N), "ns/row")
	})
}
