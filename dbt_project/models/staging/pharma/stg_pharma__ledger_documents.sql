{%- set fields = [
  'invoiceNumber', 'invoiceDate', 'sellerGln', 'buyerGln', 'gtin', 'lot', 'hsn', 'packs', 'currency',
  'taxableMinorUnits', 'gstPermille', 'gstMinorUnits', 'kind', 'manufacturerGln', 'issuedOn', 'result',
  'jurisdiction', 'reason', 'recalledOn', 'licenceNumber', 'holderGln', 'validFrom', 'validTo', 'gln',
  'isCheckDigitOk', 'isPrefixLicensed', 'registration', 'checkedOn',
] -%}

with

documents as (

    select
        *,
        {{ json_text_document('payload', fields) }} as document
    from {{ source('eledger', 'raw_eledger__transactions') }}
    where
        type in ('INVOICE', 'RECALL', 'LICENCE', 'COMPLIANCE_CERTIFICATE', 'GLN_VERIFICATION')
        and is_tx_id_ok

)

select
    tx_id,
    chain,
    shard,
    height,
    tx_number,
    type as document_type,
    submitter_gln,
    submitted_at,
    document.gtin || '/' || document.lot as batch_id,
    document.gtin,
    document.lot,
    document."invoiceNumber" as invoice_number,
    {{ iso_date('document."invoiceDate"') }} as invoiced_on,
    document."sellerGln" as seller_gln,
    document."buyerGln" as buyer_gln,
    document.hsn,
    {{ whole_number('document.packs') }} as unit_count,
    document.currency,
    {{ whole_number('document."taxableMinorUnits"') }} as taxable_minor_units,
    {{ whole_number('document."gstPermille"') }} as gst_permille,
    {{ whole_number('document."gstMinorUnits"') }} as gst_minor_units,
    document.kind as document_kind,
    document."manufacturerGln" as manufacturer_gln,
    coalesce(document."holderGln", document.gln) as subject_gln,
    document."licenceNumber" as licence_number,
    coalesce({{ iso_date('document."issuedOn"') }}, {{ iso_date('document."validFrom"') }}) as issued_on,
    {{ iso_date('document."validTo"') }} as valid_to,
    {{ iso_date('document."checkedOn"') }} as checked_on,
    document.registration,
    document.result,
    document.jurisdiction,
    document.reason,
    {{ iso_date('document."recalledOn"') }} as recalled_on
from documents
