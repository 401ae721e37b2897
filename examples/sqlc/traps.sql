-- What not to do. The tests show what becomes of it.

-- name: CountByEmail :one
-- It finds nothing: equal values are sealed to different bytes.
select count(*) from customers where email = @email;

-- name: UpdateGiven :exec
-- A cast hides the column, and with it the type of its values, from sqlc.
update customers set email = coalesce(sqlc.narg(email)::bytea, email) where id = @id;
