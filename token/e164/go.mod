module github.com/sealfield/sealfield/token/e164

go 1.26.0

require (
	github.com/nyaruka/phonenumbers v1.8.1
	github.com/sealfield/sealfield v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/tink-crypto/tink-go/v2 v2.9.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.53.0 // indirect
	golang.org/x/sys v0.46.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace github.com/sealfield/sealfield => ../..
