-- name: CopyCustomers :copyfrom
insert into customers (id, tenant, name, email, email_idx, ssn) values ($1, $2, $3, $4, $5, $6);
