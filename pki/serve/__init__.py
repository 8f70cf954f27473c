"""The CA's network services: status and files for everybody, enrolment for the gateway."""
