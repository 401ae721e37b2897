package typed

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"gorm.io/gorm"
)

type mailColumn struct{}

// User seals a column by its field's type; a tag beside it changes nothing.
type User struct {
	ID   uint
	Mail sqlfield.Value[string, mailColumn]
	Name sqlfield.Value[string, mailColumn] `db:"name" seal:"encrypt"`
}

func use(ctx context.Context, db *gorm.DB, u *User) error {
	db.Model(u).Update("mail", "ann@example.com")                  // want `^User.Mail \(column mail\) is written in the clear by gorm.DB.Update: use a sqlfield.Value$`
	db.Model(u).Updates(map[string]any{"Mail": "ann@example.com"}) // want `User.Mail`
	db.Model(u).Where(map[string]any{"mail": "ann@example.com"})   // want `User.Mail`
	mail, err := u.Mail.Open(ctx)
	if err != nil {
		return fmt.Errorf("user %d: %w", u.ID, err)
	}
	slog.Info("new", "mail", mail)             // want `^User.Mail \(column mail\) is shown in the clear by slog.Info`
	db.Exec("update users set mail = ?", mail) // want `User.Mail`

	fmt.Println(u, u.Mail)
	db.Create(u)
	db.Model(u).Update("mail", sqlfield.Of[string, mailColumn](mail))
	db.Model(u).Updates(map[string]any{"mail": u.Mail})
	db.Exec("update users set mail = ?", u.Mail)
	return nil
}
