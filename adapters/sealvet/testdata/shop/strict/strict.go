package strict

import (
	"fmt"
	"io"
	"log"

	"github.com/jackc/pgx/v5"

	"example.com/shop/store"
)

func use(w io.Writer, c store.Customer) {
	_ = fmt.Sprintf("Dear %s", c.Email)    // want `fmt.Sprintf`
	_ = fmt.Append(nil, c.Email)           // want `fmt.Append`
	fmt.Fprintf(w, "<td>%s</td>", c.Email) // want `fmt.Fprintf`
	log.Print(fmt.Sprint(c.Email))         // want `log.Print`

	new(pgx.Batch).Queue(fmt.Sprintf("select '%s'", c.Email)) // want `pgx.Batch.Queue`
}
