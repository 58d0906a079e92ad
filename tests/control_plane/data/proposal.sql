CREATE TABLE environments (
    uuid UUID PRIMARY KEY,
    organization_uuid UUID NOT NULL REFERENCES organizations(uuid),
    name VARCHAR(64) NOT NULL,              -- "development", "staging", "production"
    display_name VARCHAR(128) NOT NULL,
    description TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW(),

    UNIQUE(organization_uuid, name)
);

CREATE INDEX idx_environments_org ON environments(organization_uuid);

-- Add new columns to existing gateways table
ALTER TABLE gateways
  ADD COLUMN gateway_type VARCHAR(16) NOT NULL DEFAULT 'INGRESS'
    CHECK (gateway_type IN ('INGRESS', 'EGRESS')),
  ADD COLUMN control_plane_url TEXT,
  ADD COLUMN status VARCHAR(32) NOT NULL DEFAULT 'ACTIVE'
    CHECK (status IN ('ACTIVE', 'INACTIVE', 'PROVISIONING', 'ERROR')),
  ADD COLUMN region VARCHAR(64),
  ADD COLUMN adapter_config JSONB,
  ADD COLUMN endpoint TEXT;

-- Make control_plane_url required for EGRESS gateways
-- (enforced at application level, not database constraint)

CREATE INDEX idx_gateways_type ON gateways(gateway_type);
CREATE INDEX idx_gateways_status ON gateways(status);
CREATE INDEX idx_gateways_org_type ON gateways(organization_uuid, gateway_type);

CREATE TABLE gateway_environment_mappings (
    id SERIAL PRIMARY KEY,
    gateway_uuid UUID NOT NULL REFERENCES gateways(uuid) ON DELETE CASCADE,
    environment_uuid UUID NOT NULL REFERENCES environments(uuid) ON DELETE CASCADE,
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),

    UNIQUE(gateway_uuid, environment_uuid)
);

CREATE INDEX idx_gem_gateway ON gateway_environment_mappings(gateway_uuid);
CREATE INDEX idx_gem_environment ON gateway_environment_mappings(environment_uuid);
