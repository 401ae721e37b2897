module github.com/sealfield/sealfield/adapters/pgxmask

go 1.26.0

require github.com/sealfield/sealfield v0.0.0

replace github.com/sealfield/sealfield => ../..
