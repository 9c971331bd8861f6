with latest as (
    select * from {{ source('points', 'balances') }}
    qualify day = max(day) over ()
)
select
    b.member_id, b.available, b.tier,
    coalesce(sum(m.purchases), 0)::bigint as purchases,
    coalesce(sum(m.amount), 0)::bigint as amount
from latest b
left join {{ ref('member_months') }} m using (member_id)
group by all
