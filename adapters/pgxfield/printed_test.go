package pgxfield_test

import (
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestNothingUsedIsPrinted prints a table, and all that it makes, in every way there is,
// after rows went through in all directions.
func TestNothingUsedIsPrinted(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, table := newCustomers(t, kr)
	const email, ssn = "qzxkvwjprbtgymhcndlfsaue", "KVWJPRBTGYMHQZXLCNDFSUEA"
	a := &customer{1, email, ptr(ssn), time.Unix(0, 0)}
	args := table.Args(a)
	_, err := conn.Exec(ctx, insertCustomer, args)
	require.NoError(t, err)
	_, duplicate := conn.Exec(ctx, insertCustomer, args)
	require.Error(t, duplicate)
	_, err = table.CopyFrom(ctx, conn, rowsOf(&customer{2, email, ptr(ssn), time.Unix(0, 0)}))
	require.NoError(t, err)
	row := table.Row(ctx)
	all, err := query(t, conn, row, "select * from customers")
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, email, all[0].Email, "control: it was there")
	tags, err := table.Match(ctx, "email", email)
	require.NoError(t, err)
	for _, err := range table.Search(ctx, conn, pgxfield.SearchQuery{Column: "email", Value: email}) {
		require.NoError(t, err)
	}
	columns := table.Columns()
	text := textRows(t, table, columns)
	for _, r := range textOf(t, conn, "select "+quoted(columns)+" from customers") {
		require.NoError(t, text.Open(ctx, r))
		require.NoError(t, text.Seal(ctx, r))
	}
	rotation, err := table.Rotation(ctx, "email")
	require.NoError(t, err)
	sql, sealed, err := args.RewriteQuery(ctx, conn, insertCustomer, nil)
	require.NoError(t, err)
	_, _, refused := table.Args(a).RewriteQuery(ctx, conn, "insert into customers (email) values (@email)", nil)
	require.Error(t, refused)
	_, unmatched := table.Match(ctx, "ssn", ssn)
	require.Error(t, unmatched)
	kr.Close() // its own goroutines would race with printers that follow pointers
	leaktest.Check(t, map[string][]byte{"email": []byte(email), "ssn": []byte(ssn)}, map[string]any{
		"table": table, "args": args, "row": row, "tags": tags, "text rows": text, "rotation": rotation, "sql": sql, "sealed": sealed[1:4],
		"duplicate": duplicate, "refused": refused, "unmatched": unmatched,
	})
}

func rowsOf[T any](rows ...*T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}
