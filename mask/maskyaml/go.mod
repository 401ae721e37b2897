module github.com/sealfield/sealfield/mask/maskyaml

go 1.26.0

require (
	github.com/sealfield/sealfield v0.0.0
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
)

require golang.org/x/text v0.43.0 // indirect

replace github.com/sealfield/sealfield => ../..
