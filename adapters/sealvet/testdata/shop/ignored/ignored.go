package ignored

import (
	"fmt"
	"log/slog"

	"example.com/shop/store"
)

func use(c store.Customer) {
	fmt.Println(c) //sealvet:ignore a command that prints made-up rows
	//sealvet:ignore made-up rows
	fmt.Println(c)
	//sealvet:ignore made-up rows
	slog.Info("new",
		"id", c.ID,
		"email", c.Email)
	slog.Info("new",
		"email", c.Email, //sealvet:ignore made-up rows
	)

	// want +1 `sealvet:ignore without a reason: say why this is safe`
	//sealvet:ignore
	fmt.Println(c) // want `Customer.Email`
	//sealvet:ignored is another word
	fmt.Println(c) // want `Customer.Email`

	//sealvet:ignore one line only
	fmt.Println(c.ID)
	fmt.Println(c) // want `Customer.Email`
}
