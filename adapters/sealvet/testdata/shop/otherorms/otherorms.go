package otherorms

import (
	"context"

	"github.com/jmoiron/sqlx"
	"github.com/uptrace/bun"

	"example.com/shop/store"
)

func ofSqlx(ctx context.Context, db *sqlx.DB, c *store.Customer) {
	db.NamedExec("insert into customers (id, email) values (:id, :email)", c)                        // want `^store.Customer.Email \(column email\) is written in the clear by sqlx.DB.NamedExec: use a sqlfield.Sealed$`
	db.NamedQuery("select id from customers where email = :email", map[string]any{"email": c.Email}) // want `sqlx.DB.NamedQuery`
	db.MustExec("update customers set email = ?", c.Email)                                           // want `sqlx.DB.MustExec`
	db.Get(c, "select id from customers where email = ?", c.Email)                                   // want `sqlx.DB.Get`
	st, _ := db.PrepareNamed("update customers set email = :email where id = :id")
	st.Exec(c)                                    // want `^store.Customer.Email \(column email\) is written in the clear by sqlx.NamedStmt.Exec: use a sqlfield.Sealed$`
	st.MustExec(map[string]any{"email": c.Email}) // want `sqlx.NamedStmt.MustExec`
	st2, _ := db.PrepareNamedContext(ctx, "select * from customers where name = :name")
	st2.GetContext(ctx, c, c)
	st2.Select(&[]store.Customer{}, map[string]any{"name": c.Name})
	st2.Close()
	db.NamedExec("update customers set name = :name where id = :id", c)
	db.Get(&c.Email, "select email from customers where id = ?", c.ID)
}

func ofBun(ctx context.Context, db *bun.DB, c *store.Customer) {
	db.NewInsert().Model(c)                                     // want `^store.Customer.Email \(column email\) is written in the clear by bun.InsertQuery.Model: `
	db.NewUpdate().Model(c).WherePK().Exec(ctx)                 // want `bun.UpdateQuery.Model`
	db.NewUpdate().Table("customers").Set("email = ?", c.Email) // want `bun.UpdateQuery.Set`
	db.NewSelect().Model(c).Where("email = ?", c.Email)         // want `bun.SelectQuery.Where`
	values := map[string]any{"email": c.Email}
	db.NewInsert().Model(&values).Table("customers")                           // want `^store.Customer.Email \(column email\) is written in the clear by bun.InsertQuery.Model: `
	db.NewUpdate().Model(&map[string]any{"email": c.Email}).Table("customers") // want `bun.UpdateQuery.Model`
	db.NewInsert().Model(&map[string]any{"name": c.Name}).Table("customers")
	db.NewSelect().Model(c).Where("id = ?", c.ID)
	db.NewUpdate().Model(c).Set("name = ?", c.Name).WherePK()
	db.NewUpdate().Model(c).WherePK().Column("name")
	db.NewUpdate().Model(c).ExcludeColumn("email", "ssn", "born", "pan", "tags").WherePK()
	db.NewUpdate().Model((*store.Customer)(nil)).Where("true")
	db.NewUpdate().Table("customers").Set("name = ?", c.Name).Returning("email").Exec(ctx, &c.Email)
}
