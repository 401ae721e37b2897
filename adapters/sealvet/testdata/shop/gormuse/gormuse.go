package gormuse

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"example.com/shop/store"
)

// User is a model whose columns have GORM's names.
type User struct {
	ID        uint
	Name      string
	WorkEmail string `gorm:"column:mail" seal:"encrypt"`
	HomeEmail string `gorm:"serializer:seal" seal:"encrypt"`
	Raw       []byte `seal:"encrypt"`
}

// Skipped has no field that GORM writes as it is.
type Skipped struct {
	A string `gorm:"-" seal:"encrypt"`
	B string `gorm:"<-:false" seal:"encrypt"`
	C string `gorm:"serializer:seal" seal:"encrypt"`
}

func query() *gorm.DB { return nil }

func maps(db *gorm.DB, c store.Customer, in string) {
	db.Model(&User{}).Updates(map[string]any{"name": in, "mail": in})              // want `^User.WorkEmail \(column mail\) is written in the clear by gorm.DB.Updates: use a sqlfield.Sealed$`
	db.Model(&User{}).Where("id = ?", 1).Updates(map[string]any{"WorkEmail": "x"}) // want `User.WorkEmail`
	db.Model(&User{}).Update("home_email", in)                                     // want `User.HomeEmail \(column home_email\) is written in the clear by gorm.DB.Update`
	db.Model(&User{}).UpdateColumn("mail", in)                                     // want `User.WorkEmail`
	db.Table("customers").Updates(map[string]any{"email": c.Email})                // want `store.Customer.Email`
	db.Table("customers").Update("email", c.Email)                                 // want `store.Customer.Email`
	db.Model(&User{}).Create(map[string]any{"mail": in})                           // want `User.WorkEmail`

	q := db.Model(&User{}).Where("id = ?", 1)
	updates := map[string]any{"name": in}
	if in != "" {
		updates["mail"] = in
	}
	q.Updates(updates) // want `User.WorkEmail`

	db.Model(&User{}).Updates(map[string]any{"name": in, "mail": nil, "raw": []byte(in)})
	db.Model(&User{}).Update("name", in)
	var known any = in
	db.Model(&User{}).Update("mail", known)
	db.Scopes().Update("mail", in)
	query().Update("mail", in)
	db.Model(&User{}).Update("mail", gorm.Expr("NULL"))
	db.Table("users").Update("mail", in) // the model is not known
	db.Model(&store.Plain{}).Update("name", in)
}

func rows(db *gorm.DB, u *User, all []User) {
	db.Create(u)                                         // want `^User.WorkEmail \(column mail\) is written in the clear by gorm.DB.Create: `
	db.Save(&all)                                        // want `gorm.DB.Save`
	db.CreateInBatches(all, 100)                         // want `gorm.DB.CreateInBatches`
	db.Model(u).Updates(u)                               // want `gorm.DB.Updates`
	db.Model(u).Updates(User{Name: "x", WorkEmail: "y"}) // want `User.WorkEmail`
	db.Where(&User{Name: "x", WorkEmail: "y"}).First(u)  // want `User.WorkEmail`

	db.Model(u).Updates(User{1, "x", "y", "z", nil}) // want `User.WorkEmail` `User.Raw`

	db.Model(u).Updates(User{Name: "x"})
	db.Model(u).Updates(User{HomeEmail: "x"}) // a serializer may seal it
	db.Omit("WorkEmail").Create(u)
	db.Model(u).Select("name").Updates(u)
	db.Create(&Skipped{})
	db.Where(&User{ID: 1}).First(u)
	db.First(u, 1)
	db.Find(&all, []int{1, 2})
	db.Create(&store.Plain{})
}

func texts(db *gorm.DB, u *User) {
	db.Where("mail = ?", u.WorkEmail).First(u)                               // want `User.WorkEmail \(column mail\) is an argument of gorm.DB.Where in the clear`
	db.Exec("update users set mail = ?", u.WorkEmail)                        // want `gorm.DB.Exec`
	db.Raw("select * from users where mail = '" + u.WorkEmail + "'").Scan(u) // want `stands in the clear in the SQL of gorm.DB.Raw`
	db.Model(u).Update("name", gorm.Expr("upper(?)", u.WorkEmail))           // want `gorm.Expr`
	db.Where(map[string]any{"mail": "x"}).First(u)
	db.Model(u).Where(map[string]any{"mail": "x"}).First(u)    // want `User.WorkEmail \(column mail\) is an argument of gorm.DB.Where`
	db.Not(map[string]any{"mail": u.WorkEmail}).First(u)       // want `gorm.DB.Not`
	db.Not(&User{WorkEmail: "x"}).First(u)                     // want `gorm.DB.Not`
	db.Or(&User{WorkEmail: "x"}).First(u)                      // want `gorm.DB.Or`
	db.Attrs(User{WorkEmail: "x"}).FirstOrCreate(u)            // want `gorm.DB.Attrs`
	db.Assign(User{WorkEmail: "x"}).FirstOrCreate(u)           // want `gorm.DB.Assign`
	db.FirstOrInit(u, User{WorkEmail: "x"})                    // want `gorm.DB.FirstOrInit`
	db.FirstOrCreate(&User{WorkEmail: "x"})                    // want `gorm.DB.FirstOrCreate`
	db.Group("id").Having(map[string]any{"mail": u.WorkEmail}) // want `gorm.DB.Having`
	db.First(u, &User{WorkEmail: "x"})                         // want `User.WorkEmail \(column mail\) is an argument of gorm.DB.First`
	db.Find(u, map[string]any{"mail": u.WorkEmail})            // want `gorm.DB.Find`
	db.Order("mail = '" + u.WorkEmail + "'")                   // want `stands in the clear in the SQL of gorm.DB.Order`
	db.Where(clause.Eq{Column: "mail", Value: u.WorkEmail})    // want `^User.WorkEmail \(column mail\) stands in the clear in clause.Eq: use a sqlfield.Sealed$`
	db.Clauses(clause.OnConflict{
		DoUpdates: clause.Assignments(map[string]any{"mail": u.WorkEmail, "name": u.Name}), // want `^User.WorkEmail \(column mail\) is written in the clear by clause.Assignments: `
	})
	db.Where("name = ?", u.Name).First(u)
	_ = clause.Set{}.Assignments()
	db.First(&User{WorkEmail: "x"}) // which is filled
	db.Where(clause.Eq{Column: "name", Value: u.Name}).Order("name = '" + u.Name + "'")
	db.Clauses(clause.OnConflict{DoUpdates: clause.Assignments(map[string]any{"name": u.Name})})
}

func generic(ctx context.Context, db *gorm.DB, u User) {
	gorm.G[User](db).Where("id = ?", 1).Update(ctx, "mail", "x")         // want `User.WorkEmail`
	gorm.G[User](db).Where("id = ?", 1).Updates(ctx, u)                  // want `User.WorkEmail`
	gorm.G[User](db).Create(ctx, &u)                                     // want `User.WorkEmail`
	gorm.G[User](db).Exec(ctx, "update users set mail = ?", u.WorkEmail) // want `User.WorkEmail`
	gorm.G[User](db).Where("id = ?", 1).Update(ctx, "name", "x")
	gorm.G[User](db).Where("id = ?", 1).Updates(ctx, User{Name: "x"})
}
