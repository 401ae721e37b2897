// Package sqlfield has what the analyzer knows of the package of this name.
package sqlfield

import (
	"context"
	"database/sql/driver"
)

type Sealed[T, Column any] struct{ opened func() T }

func Of[Column, T any](v T) (s Sealed[T, Column]) { return }

func (v Sealed[T, Column]) Open(ctx context.Context) (t T, err error)              { return }
func (v Sealed[T, Column]) OpenAt(ctx context.Context, at []byte) (t T, err error) { return }
func (v Sealed[T, Column]) Value() (driver.Value, error)                           { return nil, nil }

type Tag[T, Index any] struct{ tag []byte }
