module github.com/sealfield/sealfield/adapters/pgxmask

go 1.26.0

require github.com/sealfield/sealfield v0.0.0

require golang.org/x/text v0.43.0 // indirect

replace github.com/sealfield/sealfield => ../..
