select
    member_id || '/' || strftime(date_trunc('month', occurred_at), '%Y-%m') as member_month,
    member_id,
    date_trunc('month', occurred_at)::date as month,
    count(*) filter (where kind = 'purchase') as purchases,
    sum(amount)::bigint as amount
from {{ ref('stg_purchases') }}
group by all
