// Package slogged has one finding, but for programs whose handlers redact rows.
package slogged

import (
	"log/slog"

	"example.com/shop/store"
)

func use(c store.Customer) {
	slog.Info("new", "customer", c)
}
