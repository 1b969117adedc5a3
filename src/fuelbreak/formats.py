"""Rasters and vectors: files to plain arrays and headers, and back. Nothing else here touches GIS libraries."""

from __future__ import annotations

from fuelbreak.errors import InputError


def normalize_crs(text: str) -> str:
    """Return a coordinate reference system given as 'EPSG:32611', '32611' or WKT as WKT.

    Raises
    ------
    InputError : nonsense, or a system that does not count in meters on a plane
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    given = str(text).strip()
    try:
        crs = CRS.from_user_input(f"EPSG:{given}" if given.isdigit() else given)
    except CRSError:
        raise InputError(f"coordinate reference system {given[:60]!r} is not known; give one like EPSG:32611") from None
    if not crs.is_projected or abs(float(crs.linear_units_factor[1]) - 1) > 1e-9:
        raise InputError(
            f"coordinate reference system {given[:60]!r} does not count in meters; give a projected one in meters, "
            "like UTM (EPSG:326 and the zone, for example EPSG:32611)"
        )
    return str(crs.to_wkt())
