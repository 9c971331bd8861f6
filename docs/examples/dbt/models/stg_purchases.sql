select member_id, kind, order_id, occurred_at, amount
from {{ source('points', 'purchases') }}
