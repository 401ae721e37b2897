package typed

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"gorm.io/gorm"
)

type mail struct{}

// phone embeds, as for libraries that do not know type parameters.
type phone struct{ sqlfield.Sealed[string, mail] }

// User seals columns by the types of its fields; a tag beside it changes nothing.
type User struct {
	ID      uint
	Mail    sqlfield.Sealed[string, mail]
	MailIdx sqlfield.Tag[string, mail]
	Name    sqlfield.Sealed[string, mail] `db:"name" seal:"encrypt"`
	Phone   phone
}

func use(ctx context.Context, db *gorm.DB, u *User) error {
	db.Model(u).Update("mail", "ann@example.com")                  // want `^User.Mail \(column mail\) is written in the clear by gorm.DB.Update: use a sqlfield.Sealed$`
	db.Model(u).Updates(map[string]any{"Mail": "ann@example.com"}) // want `User.Mail`
	db.Model(u).Updates(map[string]any{"mail_idx": "ann"})         // want `User.MailIdx`
	db.Model(u).Where(map[string]any{"phone": "1"})                // want `User.Phone`
	mail, err := u.Mail.Open(ctx)
	if err != nil {
		return fmt.Errorf("user %d: %w", u.ID, err)
	}
	slog.Info("new", "mail", mail)             // want `^User.Mail \(column mail\) is shown in the clear by slog.Info`
	db.Exec("update users set mail = ?", mail) // want `User.Mail`
	fmt.Println(mail)                          // want `fmt.Println`
	number, err := u.Phone.OpenAt(ctx, nil)
	fmt.Println(number, err) // want `User.Phone`

	fmt.Println(u, u.Mail)
	db.Create(u)
	db.Model(u).Update("mail", sealed(mail))
	db.Model(u).Updates(map[string]any{"mail": u.Mail, "phone": u.Phone, "mail_idx": []byte(nil)})
	db.Exec("update users set mail = ?", u.Mail)
	return nil
}

func sealed(s string) sqlfield.Sealed[string, mail] { return sqlfield.Of[mail](s) }
