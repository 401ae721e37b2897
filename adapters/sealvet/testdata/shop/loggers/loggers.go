package loggers

import (
	"log/slog"

	"example.com/shop/loggers/zap"
	"example.com/shop/store"
)

func use(c store.Customer) {
	zap.Info("new", zap.Any("customer", c))       // want `zap.Any`
	zap.Info("new", zap.String("email", c.Email)) // want `zap.String`
	zap.Info("new " + c.Email)                    // want `zap.Info`
	zap.Info("new", zap.String("name", c.Name))
	slog.Info("new", "customer", c)    // its handler redacts
	slog.Info("new", "email", c.Email) // want `slog.Info`
}
