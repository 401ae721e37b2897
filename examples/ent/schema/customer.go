// Package schema is what ent generates package gen from.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/examples/ent/column"
)

// Customer has an e-mail address that can be searched, and a number that opens in its
// own row only.
type Customer struct{ ent.Schema }

// Fields implements ent.Interface. The program makes the id, since the number is bound
// to it, and the tenant does not change, since its keys seal.
func (Customer) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Default(newID).Immutable(),
		field.String("tenant").Immutable(),
		field.String("name"),
		field.Bytes("email").GoType(column.Email{}),
		field.Bytes("email_idx").GoType(column.EmailTag{}),
		field.Bytes("ssn").GoType(column.SSN{}).Optional(),
	}
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Indexes implements ent.Interface.
func (Customer) Indexes() []ent.Index { return []ent.Index{index.Fields("email_idx")} }

// Annotations implements ent.Interface: CHECKs, by which PostgreSQL refuses plaintext.
func (Customer) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Checks(map[string]string{
		"customers_email_sealed":  sqlfield.SealedCheck(sqlfield.PostgreSQL, "email"),
		"customers_email_idx_tag": sqlfield.TagCheck(sqlfield.PostgreSQL, "email_idx"),
		"customers_ssn_sealed":    sqlfield.SealedCheck(sqlfield.PostgreSQL, "ssn"),
	})}
}
