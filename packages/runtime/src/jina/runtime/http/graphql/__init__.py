"""GraphQL at ``/graphql``: types and fields from the endpoints' schemas. Needs the extra ``jina-runtime[graphql]``."""
