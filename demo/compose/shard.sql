-- A shard's database: the participant's own role, which is no superuser, and the tables of the demo (those of
-- migrations/demo-accounts.ts; a test compares them).

do $$
begin
  execute format('create role synod login password %L',
                 substring(pg_read_file('/run/secrets/database_url') from '://[^:]+:([^@]+)@'));
end
$$;

alter database synod owner to synod;

create table accounts (
  id text primary key,
  balance bigint not null constraint accounts_balance_not_negative check (balance >= 0)
);

-- transfer_id is not unique on purpose: a transfer applied twice must show in the books.
create table transfer_entries (
  id bigint generated always as identity primary key,
  transfer_id uuid not null,
  account_id text not null constraint transfer_entries_account_id_foreign references accounts (id),
  amount bigint not null
);

alter table accounts owner to synod;

alter table transfer_entries owner to synod;
