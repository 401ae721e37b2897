package pgxfield_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
)

type Patient struct {
	Clinic string `db:"clinic"`
	ID     int64  `db:"id"`
	Name   string `db:"name" seal:"encrypt,index=name_idx"`
}

// With a keyring that is scoped each tenant has keys of its own. Config.Scope names
// the column that says whose a row is; In chooses the tenant for a search, and keeps
// rows of others out.
func Example_tenants() {
	ctx := context.Background()
	db, _ := openExample(ctx)
	defer db.Close()
	keys := openExampleKeys(ctx, keyring.Config{Name: "clinics", Scoped: true})
	defer keys.Close()
	patients, err := pgxfield.NewTable[Patient](keys, "patients", pgxfield.Config{RowKey: []string{"clinic", "id"}, Scope: "clinic"})
	check(err)
	db.mustExec(ctx, `create table patients (clinic text, id bigint, name bytea not null, name_idx bytea not null, primary key (clinic, id))`)
	db.mustExec(ctx, patients.DDL()...)
	for _, p := range []Patient{{"north", 1, "Ann"}, {"south", 1, "Ann"}, {"south", 2, "Bob"}} {
		_, err := db.Exec(ctx, `insert into patients values (@clinic, @id, @name, @name_idx)`, patients.Args(&p))
		check(err)
	}

	south := patients.In("south")
	tags, err := south.Match(ctx, "name", "Ann")
	check(err)
	rows, err := db.Query(ctx, `select * from patients where name_idx = any($1)`, tags)
	check(err)
	found, err := south.Collect(ctx, rows)
	check(err)
	fmt.Println(found)

	// A row that was given to another tenant does not open.
	db.mustExec(ctx, `update patients set clinic = 'north' where id = 2`)
	rows, err = db.Query(ctx, `select * from patients order by id`)
	check(err)
	_, err = patients.Collect(ctx, rows)
	fmt.Println(errors.Is(err, crypto.ErrDecrypt))

	// A tenant that leaves takes its keys along, and all of its values are gone.
	_, err = keys.Shred(ctx, "south", keyring.ShredOptions{By: "ticket 17"})
	check(err)
	// Output:
	// [{south 1 Ann}]
	// true
}
