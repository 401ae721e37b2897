package fpe_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/fpe"
)

func TestBits(t *testing.T) {
	for format, size := range map[string]float64{
		"pan-bin6": 1e6, "pan": 9e7, "ssn": 898 * 99 * 9999, "iban": 1e11, "uuid": math.Exp2(122), "[0-9|A-Z]{3}": 1000, "int:0..255": 256,
		"int:-9223372036854775808..9223372036854775807": math.Exp2(64), "+(cc)[0-9]{6-14}": 1e6, "<[A-Z]>[01]{10}": 1024, "date:2023-01-01..2024-12-31": 731,
	} {
		f, err := fpe.Parse(format)
		require.NoError(t, err)
		require.InDelta(t, math.Log2(size), f.Bits(), 1e-9, format)
	}
}
