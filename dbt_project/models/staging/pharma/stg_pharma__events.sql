{{ config(materialized='table') }}

with

events as (

    select
        *,
        {{ epcis_document('event') }} as document,
        -- Partners send a document again with more in it: the same event is one event.
        row_number() over (partition by md5(event) order by event_key) as copy_number
    from {{ source('epcis', 'raw_epcis__events') }}

),

-- An error declaration repeats an event that is wrong: both it and the original are void.
voided as (

    select distinct event_id from events
    where event_id is not null and document."errorDeclaration" is not null

)

select
    events.event_key,
    events.source_kind,
    events.source_ref,
    events.event_type,
    events.event_time as event_at,
    {{ utc_date('events.event_time') }} as event_on,
    events.action,
    events.biz_step,
    events.disposition,
    coalesce(
        events.document.ilmd."cbvmda:lotNumber",
        events.document.ilmd."urn:epcglobal:cbv:mda#lotNumber"
    ) as lot,
    {{ iso_date("substring(coalesce(
        events.document.ilmd.\"cbvmda:itemExpirationDate\",
        events.document.ilmd.\"urn:epcglobal:cbv:mda#itemExpirationDate\"
    ), 1, 10)") }} as expires_on,
    events.document
from events
left join voided on events.event_id = voided.event_id
where
    events.copy_number = 1
    and events.document."errorDeclaration" is null
    and voided.event_id is null
