// Package sqlfield has what the analyzer knows of the package of this name.
package sqlfield

import "context"

type Value[T, Column any] struct{ sealed func() T }

func Of[T, Column any](v T) Value[T, Column] { return Value[T, Column]{} }

func (v Value[T, Column]) Open(ctx context.Context) (t T, err error) { return }
