-- name: InsertCustomer :exec
insert into customers (id, tenant, name, email, email_idx, ssn) values ($1, $2, $3, $4, $5, $6);

-- name: FindByTags :many
select * from customers where tenant = @tenant and email_idx = any(@tags::bytea[]);

-- name: UpdateEmail :exec
update customers set email = @email, email_idx = @email_idx where id = @id;
